"""Which logs a command means."""

import pytest

from pdsup.answers.commands import LogFile
from pdsup.cli.logs.choice import agent_log, chosen
from pdsup.errors import NothingThere


def log(name, kind="worker", role=None, gang=None):
    return LogFile(path=f"/run/{name}", name=name, kind=kind, role=role, gang=gang)


UNITS = [
    log("prefill-0.0", role="prefill", gang="prefill-0"),
    log("prefill-0.1", role="prefill", gang="prefill-0"),
    log("decode-0", role="decode"),
    log("decode-1", role="decode"),
    log("router-0", "router"),
    log("nginx", "nginx"),
]
AGENTS = [agent_log(node, f"/run/{node}") for node in ("node0", "node1")]
ALL = [one.name for one in UNITS]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["decode-1"], ["decode-1"]),
        (["router-0", "decode-0"], ["decode-0", "router-0"]),
        (["decode-*", "decode-0"], ["decode-0", "decode-1"]),
        (["decode"], ["decode-0", "decode-1"]),
        (["prefill-0"], ["prefill-0.0", "prefill-0.1"]),
        (["router"], ["router-0"]),
        (["all"], ALL),
        (["*"], ALL),
        (["agent@node1"], ["agent@node1"]),
        (["agent@*", "nginx"], ["nginx", "agent@node0", "agent@node1"]),
    ],
)
def test_logs_are_chosen_by_name_glob_gang_group_and_node(patterns, names):
    assert [one.name for one in chosen(UNITS, AGENTS, patterns)] == names


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("decode-00", "no such unit; did you mean decode-0?"), ("[", "no such unit"),
     ("agent@node7", "no such log here"), ("worker", "no such unit")],
)  # fmt: skip
def test_a_name_without_a_log_is_told(pattern, hint):
    with pytest.raises(NothingThere, match=f"^cannot show logs of .*: {hint.replace('?', '.')}"):
        chosen(UNITS, AGENTS, ["nginx", pattern])
