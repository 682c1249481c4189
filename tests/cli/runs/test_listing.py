"""The runs of a user, a line each."""

import json
import os

import pytest

from pdsup.cli.runs import listing, living
from pdsup.cli.runs.run_lines import RunLine, RunState, lines
from pdsup.node import agent_files, paths
from pdsup.node.agent_place import AgentPlace

NOW = 1795435200.0  # 2026-11-23 12:00:00 UTC


@pytest.fixture
def ended(home):
    """The directory of a run that has ended; its journal begins at a time and lasts 60 s."""

    def make(name, began, to="STOPPED", *, notes=True):
        path = home.parent / name
        (path / "events").mkdir(parents=True)
        (path / "plan.yaml").write_text(f"plan: 1\nname: plan-of-{path.name}\n")
        if notes:
            (path / "agents").mkdir()
        entries = [
            {"at": began + at, "node": "node0", "unit": "a", "event": "Tick", "from": before,
             "to": after}
            for at, before, after in ((0, "STOPPED", "STARTING"), (60, "STOPPING", to))
        ]  # fmt: skip
        text = "".join(f"{json.dumps(one)}\n" for one in entries)
        (path / "events" / "node0.jsonl").write_text(text + '{"half a li')
        return path

    return make


def found():
    return [(one.name, one.state) for one in listing.ended()]


def test_runs_are_found_here_in_runs_and_beside_the_active_and_the_named_one(
    agent, home, ended, monkeypatch
):
    agent(run="elsewhere/active")
    monkeypatch.setenv("PDSUP_RUN_DIR", "other/named")
    for number, name in enumerate(("c", "runs/b", "elsewhere/d", "other/a", "far/away/e")):
        ended(name, NOW + number)
    assert [name for name, _ in found()] == [f"plan-of-{name}" for name in "cbda"]
    (more,) = [one for one in listing.ended([home.parent / "far/away"]) if one.began == NOW + 4]
    assert more.run_dir == str(home.parent / "far/away/e")


def test_the_times_of_a_run_are_those_of_its_journal(home, ended):
    ended("a", NOW)
    (line,) = listing.ended()
    assert (line.began, line.last, line.state) == (NOW, NOW + 60, RunState.ENDED)


def test_whether_a_run_has_ended_is_told_without_its_agents(home, ended):
    """Agents of 0.1.0 did not note where they are: their journals have to tell."""
    ended("a", NOW)
    ended("b", NOW + 1, notes=False)
    ended("c", NOW + 2, "RUNNING", notes=False)
    for name, host in (("d", os.uname().nodename), ("e", "another-host")):
        place = AgentPlace(directory="/tmp/none", host=host, boot="another")
        agent_files.write(ended(name, NOW + 3), "node0", place)
    assert [state for _, state in found()] == ["ended", "ended", "elsewhere", "killed", "elsewhere"]


def test_an_active_run_is_not_among_those_that_have_ended(agent, home, ended):
    agent(run="run")
    ended("run", NOW)
    assert listing.ended() == []
    (line,) = listing.active(living.clusters())
    assert (line.name, line.state) == ("plan-of-run", RunState.ACTIVE)


def test_a_run_that_only_its_directory_leads_to_is_active_too(agent, home, ended, monkeypatch):
    """Such as that of another user, or of a job with directories of its own."""
    path = ended("run", NOW)
    node = agent(run="run").parent  # relative, and so short enough for a socket
    place = AgentPlace(directory=str(node), host=os.uname().nodename, boot="now")
    agent_files.write(path, "node0", place)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    assert found() == [("plan-of-run", "active")]


@pytest.mark.parametrize("text", ["plan: 1\nname: 'demo'\n", '{"plan":1,"name":"demo","x":[]}'])
def test_the_name_of_a_run_is_that_of_its_plan(home, ended, text):
    (ended("x", NOW) / "plan.yaml").write_text(text)
    assert [name for name, _ in found()] == ["demo"]


def test_a_run_without_a_name_is_called_as_its_directory(home, ended):
    (ended("x", NOW) / "plan.yaml").write_text("units: [{name: a}]\n")
    assert [name for name, _ in found()] == ["x"]


@pytest.mark.usefixtures("utc")
def test_runs_are_listed_in_columns(golden):
    listed = [
        RunLine(name="demo", run_dir="/w/runs/demo-1", state=RunState.ENDED, began=NOW - 90_000,
                last=NOW - 80_000),
        RunLine(name="deepseek-r1", run_dir="/w/runs/d-2", state=RunState.ELSEWHERE,
                began=NOW - 600, last=NOW - 9),
        RunLine(name="demo", run_dir="/w/runs/demo-3", state=RunState.KILLED, began=None),
        RunLine(name="demo", run_dir="/w/runs/demo-4", state=RunState.ACTIVE, began=NOW - 60,
                ready="ready: prefill 2/2, nginx 0/1", url="http://127.0.10.1:8000"),
    ]  # fmt: skip
    golden("list", lines(listed, NOW))


def test_a_message_lists_only_the_latest_of_many_runs(home, ended):
    for number in range(listing.MOST_LISTED + 3):
        ended(f"runs/{number:02}", NOW + number)
    said = listing.listed(listing.ended()).splitlines()
    assert len(said) == listing.MOST_LISTED + 1
    assert said[-1] == "  and 3 more: pdsup list"
    assert paths.RUNS in said[0]
