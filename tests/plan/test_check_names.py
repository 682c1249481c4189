"""Names that would collide with files of their own are refused where they stand."""

import pytest

from pdsup.cli.main import main
from pdsup.node.paths import RUN_LINK

PLAN = """\
plan: 1
name: x
nodes:
  - {{name: n0, address: 10.0.0.1}}
  - {{name: {node}, address: 10.0.0.2}}
units:
  - {{name: a, kind: service, node: n0, command: [a]}}
"""


@pytest.mark.parametrize(("node", "good"), [(RUN_LINK, False), ("run1", True), ("runs", True)])
def test_a_node_can_not_be_called_like_a_file_beside_those_of_nodes(tmp_path, capsys, node, good):
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.format(node=node))
    assert main(["check", str(path)]) == (0 if good else 1)
    problem = f"{path}:5:6: nodes.1.name: 'run' is the name of a file beside those of nodes"
    assert (problem in capsys.readouterr().out) is not good
