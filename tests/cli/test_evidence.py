"""``pdsup evidence``: what a unit does now, at will."""

import json
from pathlib import Path

import pytest

from pdsup.cli.explain import _is_of


def test_evidence_is_taken_of_a_running_unit_as_often_as_asked_and_the_unit_runs_on(
    agents, pdsup, wait_for
):
    agents.start(agents.plan(agents.unit("a"), agents.unit("b")))
    before = [agents.reaches("RUNNING", name)["pid"] for name in ("a", "b")]
    done = pdsup("evidence", "a")
    assert (done.returncode, done.stderr) == (0, "")
    name, first = done.stdout.strip().split(": ")
    assert (name, Path(first).parent) == ("a", agents.run_dir / "evidence")
    why = (Path(first) / "why.txt").read_text()
    assert "evidence requested by " in why
    assert "with pdsup evidence (pid " in why
    assert "sleep" in (Path(first) / "processes.txt").read_text()
    (again, other) = json.loads(pdsup("evidence", "*", "--json").stdout)["units"]
    assert again["directory"] != first
    assert {one["problem"] for one in (again, other)} == {""}
    assert [agents.look(name)["pid"] for name in ("a", "b")] == before
    wait_for(lambda: len(agents.requests()) >= 3)
    assert [line["event"]["verb"] for line in agents.requests()] == ["evidence"] * 3
    shown = pdsup("explain", "a").stdout
    assert first in shown
    assert again["directory"] in shown


def test_of_a_unit_without_a_process_there_is_none(agents, pdsup):
    agents.start(agents.plan(agents.unit("a", "true", restart={"policy": "never"})))
    agents.reaches("EXITED", "a")
    done = pdsup("evidence", "a")
    assert (done.returncode, done.stdout) == (1, "a: ERROR (no evidence: it is not running)\n")
    done = pdsup("evidence", "b")
    assert (done.returncode, done.stderr.split(":")[1]) == (4, " cannot take evidence of b")


@pytest.mark.parametrize(
    ("name", "unit", "is_its"),
    [("a-1", "a", True), ("a-1-at-20261128T031500123456Z", "a", True), ("a-1-1", "a", False),
     ("a-1-1", "a-1", True), ("a", "a", False), ("b-1", "a", False)],
)  # fmt: skip
def test_a_directory_of_evidence_is_known_by_its_name(name, unit, is_its):
    assert _is_of(name, unit) is is_its
