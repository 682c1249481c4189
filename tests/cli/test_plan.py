"""``pdsup plan``: what it prints, what it writes, and how it fails."""

import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from pdsup.cli.main import main
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import parse_nodes

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
NODES = ("--nodes", "node[0-3]")


@pytest.fixture(autouse=True)
def outside_of_slurm(monkeypatch):
    for name in (*("SLURM_JOB_NODELIST", "SLURM_NODELIST"), "SLURM_JOB_NODELIST_HET_GROUP_0"):
        monkeypatch.delenv(name, raising=False)


def expected():
    return load.load(DEMO, nodes=parse_nodes("node[0-3]")).text


def test_it_prints_the_plan(capfdbinary):
    assert main(["plan", str(DEMO), *NODES]) == 0
    assert capfdbinary.readouterr() == (expected(), b"")


def test_it_prints_the_same_values_as_json(capfd):
    assert main(["plan", str(DEMO), *NODES, "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == yaml.safe_load(expected())


def test_it_writes_the_plan_to_a_file(tmp_path, capfd):
    file = tmp_path / "plan.yaml"
    assert main(["plan", str(DEMO), *NODES, "-o", str(file)]) == 0
    assert file.read_bytes() == expected()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_what_a_link_points_to_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "there").mkdir()
    for target in ("new.yaml", "there/old.yaml"):
        link = tmp_path / "plan.yaml"
        link.symlink_to(target)
        assert main(["plan", str(DEMO), *NODES, "-o", str(link)]) == 0
        assert link.is_symlink()
        assert (tmp_path / target).read_bytes() == expected()
        assert not (tmp_path / target).is_symlink()
        link.unlink()


def test_what_is_no_file_is_written_into_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # A pipe of both ends keeps what is written; the plan is smaller than one holds.
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert main(["plan", str(DEMO), *NODES, "-o", str(pipe)]) == 0
        assert os.read(end, 1 << 20) == expected()
    finally:
        os.close(end)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_directory_is_no_place_for_a_plan(tmp_path, capfd):
    assert main(["plan", str(DEMO), *NODES, "-o", str(tmp_path)]) == 1
    assert capfd.readouterr().err == f"pdsup: cannot write {tmp_path}: Is a directory\n"


def test_it_takes_a_plan_and_prints_it_as_it_is(tmp_path, capfdbinary):
    file = tmp_path / "plan.yaml"
    file.write_bytes(expected() + b"# mine\n")
    assert main(["plan", str(file)]) == 0
    assert capfdbinary.readouterr().out == expected() + b"# mine\n"


def test_it_takes_the_nodes_of_the_slurm_job(capfd, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NODELIST", "gpu[7-10]")
    assert main(["plan", str(DEMO), "--json"]) == 0
    nodes = json.loads(capfd.readouterr().out)["nodes"]
    assert [node["name"] for node in nodes] == ["gpu7", "gpu8", "gpu9", "gpu10"]


def test_it_takes_an_engine_and_overrides(capfd):
    words = ("--engine", "sglang", "--set", "name=other", "--set", "resources.decode_nodes=4")
    assert main(["plan", str(DEMO), "--nodes", "n[0-5]", "--json", *words]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert plan["name"] == "other"
    assert plan["units"][0]["command"][2] == "sglang.launch_server"
    assert plan["units"][3]["gang"] == "decode-0"


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ((), 2, f"pdsup: cannot place {DEMO}: it is a recipe; give --nodes"),
        (("--nodes", "n["), 2, "pdsup: cannot read node list 'n['"),
        (
            (*NODES, "-o", "/nowhere/plan.yaml"),
            1,
            "pdsup: cannot write /nowhere/plan.yaml: No such",
        ),
    ],
)
def test_it_fails_with_one_sentence(capfd, words, status, sentence):
    assert main(["plan", str(DEMO), *words]) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_it_prints_each_problem_of_a_broken_recipe_and_then_the_sentence(capfd):
    words = ("--set", "resources.prefill_workers=0", "--set", "nam=x")
    assert main(["plan", str(DEMO), *NODES, *words]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    first, second, sentence = err.splitlines()
    assert first.startswith("--set nam=x: nam: is not a known setting; did you mean name?")
    assert ": resources.prefill_workers: must be at least 1" in second
    assert sentence == f"pdsup: cannot use {DEMO}: 2 problems"


SEVERAL = """\
base:
  name: many
  model: {path: /m}
  frontend: {type: sglang}
  resources: {agg_nodes: 1, agg_workers: 1}
override_two:
  resources: {agg_nodes: 2, agg_workers: 2}
override_three:
  resources: {agg_nodes: 3, agg_workers: 3}
"""


@pytest.mark.parametrize("how", ["option", "behind the file"])
def test_it_takes_a_variant(tmp_path, capfd, how):
    file = tmp_path / "recipe.yaml"
    file.write_text(SEVERAL)
    chosen = [str(file), "--variant", "override_two"]
    words = chosen if how == "option" else [f"{file}:override_two"]
    assert main(["plan", *words, "--nodes", "n[0-3]", "--json"]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert plan["name"] == "many_two"
    assert len(plan["nodes"]) == 2


def test_it_asks_which_of_several_recipes_is_meant(tmp_path, capfd):
    file = tmp_path / "recipe.yaml"
    file.write_text(SEVERAL)
    assert main(["plan", str(file), *NODES]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"pdsup: cannot tell which recipe of {file} to use; choose with")
    assert err.endswith(": base, override_two, override_three\n")
    assert err.count("\n") == 1


def test_it_takes_the_nodes_of_a_heterogeneous_job(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NODELIST", "p[0-1]")
    monkeypatch.setenv("SLURM_JOB_NODELIST_HET_GROUP_0", "p[0-1]")
    monkeypatch.setenv("SLURM_JOB_NODELIST_HET_GROUP_1", "d[0-1]")
    assert main(["plan", str(DEMO), "--json", "--set", "resources.het_jobs=true"]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert [(node["name"], node["group"]) for node in plan["nodes"]] == [
        *(("p0", 0), ("p1", 0), ("d0", 1), ("d1", 1))
    ]
