"""``pdsup plan --explain`` and ``--addresses``."""

import json
from pathlib import Path

import pytest

from pdsup.cli.main import main
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import parse_nodes

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
NODES = ("--nodes", "node[0-3]")


@pytest.fixture(autouse=True)
def outside_of_slurm(monkeypatch):
    for name in ("SLURM_JOB_NODELIST", "SLURM_NODELIST"):
        monkeypatch.delenv(name, raising=False)


def explained(capfd, *words):
    assert main(["plan", *map(str, words), "--explain"]) == 0
    return capfd.readouterr().out


def test_a_recipe_is_explained_also_before_there_are_nodes(capfd):
    assert explained(capfd, DEMO) == explained(capfd, DEMO, *NODES)


@pytest.mark.parametrize("width", [80, 160])
def test_the_explanation_looks_as_it_was_looked_at(screen, golden, width):
    lines = screen("plan", "demo.yaml", "--explain", columns=width, cwd=DEMO.parent)
    golden(f"plan-explain-{width}", lines)
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)


def test_a_plan_file_is_explained_without_what_only_its_recipe_knew(tmp_path, capfd):
    file = tmp_path / "plan.yaml"
    file.write_bytes(load.load(DEMO, nodes=parse_nodes("node[0-3]")).text)
    of_plan, of_recipe = explained(capfd, file), explained(capfd, DEMO)
    assert of_plan.splitlines()[:20] == of_recipe.splitlines()[:20]
    assert "Ignored settings" in of_recipe
    assert "Ignored settings" not in of_plan


def test_the_explanation_is_also_one_json_value(capfd):
    found = json.loads(explained(capfd, DEMO, *NODES, "--json"))
    assert (found["name"], found["nodes"], found["units"]) == ("demo", 4, 9)
    assert [group["nodes"] for group in found["groups"]] == ["node0", "node1", "node[2-3]"]
    assert {line["path"] for line in found["unused"]} >= {"model.container", "model.precision"}


def test_the_explanation_can_be_written_to_a_file(tmp_path, capfd):
    assert explained(capfd, DEMO, "-o", tmp_path / "told") == ""
    assert (tmp_path / "told").read_text().startswith("demo: 4 nodes, 9 units\n")


def test_nodes_have_the_addresses_that_are_given(capfd):
    words = ("--addresses", "10.0.0.[1-3],fd00::4", "--json")
    assert main(["plan", str(DEMO), *NODES, *words]) == 0
    nodes = json.loads(capfd.readouterr().out)["nodes"]
    assert [(node["name"], node["address"]) for node in nodes] == [
        ("node0", "10.0.0.1"),
        ("node1", "10.0.0.2"),
        ("node2", "10.0.0.3"),
        ("node3", "fd00::4"),
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*NODES, "--addresses", "10.0.0.[1-3]"), "it has 3 different addresses for 4"),
        ((*NODES, "--addresses", "10.0.0.[1-3],10.0.0.1"), "it has 3 different addresses for 4"),
        ((*NODES, "--addresses", "10.0.0.["), "cannot read address list '10.0.0.['"),
        ((*NODES, "--addresses", "a b"), "'a b' is not a host name"),
        (("--addresses", "10.0.0.[1-4]"), "cannot use --addresses alone: give --nodes"),
    ],
)
def test_addresses_that_do_not_fit_the_nodes_are_refused(words, sentence, capfd):
    assert main(["plan", str(DEMO), *words]) == 2
    out, error = capfd.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert sentence in error


def test_an_interface_that_no_name_stands_for_is_told_with_the_node(capfd):
    assert main(["plan", str(DEMO), *NODES, "--set", "network.interface=nowhere"]) == 1
    assert "cannot find the address of node0: node0-nowhere: " in capfd.readouterr().err
