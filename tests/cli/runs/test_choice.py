"""Which run a command is for."""

import os
from pathlib import Path

import pytest

from pdsup.cli.runs import choice
from pdsup.cli.runs.named import Source
from pdsup.errors import NothingThere, WrongUsage
from pdsup.node import paths


@pytest.fixture
def run(agent, home):
    """A run directory below the current directory; ``active``: an agent of it answers."""
    started = iter(range(1, 100))

    def make(name, *, active=True):
        path = home.parent / name
        (path / "events").mkdir(parents=True)
        (path / "plan.yaml").write_text(f"plan: 1\nname: plan-of-{path.name}\n")
        if active:
            link = agent(run=name).parent.parent / paths.RUN_LINK
            at = next(started)
            os.utime(link, (at, at), follow_symlinks=False)
        return path

    return make


def chosen(option=None, **more):
    run = choice.choose(option, "look", **more)
    return Path(run.cluster.run_dir).name, run.source


def test_what_is_named_is_chosen_the_option_before_the_variable(run, home, monkeypatch):
    for name in ("one", "two", "three"):
        run(name)
    monkeypatch.setenv("PDSUP_RUN_DIR", str(home.parent / "one" / ".." / "one"))
    assert chosen() == ("one", Source.VARIABLE)
    assert chosen("two") == ("two", Source.OPTION)
    monkeypatch.chdir("three")
    assert chosen() == ("one", Source.VARIABLE)


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("below", ["", "logs", "evidence/decode-0-1"])
def test_a_command_in_a_run_directory_is_for_its_run(run, monkeypatch, active, below):
    here = run("here", active=active) / below
    run("runs/elsewhere")
    here.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(Path.cwd()))
    monkeypatch.chdir(here)
    assert chosen() == ("here", Source.INSIDE)


def test_what_another_user_made_to_look_like_a_run_directory_is_none(run, monkeypatch):
    monkeypatch.chdir(run("here", active=False))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert choice._inside() is None


@pytest.mark.parametrize("where", ["near", "runs/near"])
def test_the_only_run_of_the_current_directory_is_preferred_to_others(run, where):
    run(where)
    run("far/away/newer")
    assert chosen() == ("near", Source.NEARBY)


def test_the_only_run_of_the_machine_is_chosen(run):
    run("far/away/only")
    assert chosen() == ("only", Source.MACHINE)


def test_of_several_runs_a_look_takes_the_newest(run):
    for name in ("b", "c", "a"):
        run(name)
    assert chosen(looks=True) == ("a", Source.NEWEST)


@pytest.mark.usefixtures("utc")
def test_of_several_runs_what_changes_something_must_name_one(run, home):
    run("one")
    run("two")
    with pytest.raises(WrongUsage) as caught:
        choice.choose(None, "restart a")
    assert str(caught.value).splitlines() == [
        "cannot restart a: 2 runs are active; choose one with --run-dir:",
        f"  plan-of-one  active  started 1970-01-01 00:00:01  {home.parent}/one",
        f"  plan-of-two  active  started 1970-01-01 00:00:02  {home.parent}/two",
    ]


def test_where_no_run_is_active_those_that_have_ended_are_named(run, home):
    run("runs/first", active=False)
    with pytest.raises(NothingThere) as caught:
        choice.choose(None, "look")
    said = str(caught.value)
    assert said.startswith("cannot look: no run is active on this machine; choose one that has")
    assert str(home.parent / "runs" / "first") in said
    assert "start" not in said.replace("not started", "")


def test_where_there_is_no_run_at_all_one_learns_how_to_start_one(home):
    with pytest.raises(NothingThere, match="no run is active on this machine; pdsup up FILE"):
        choice.choose(None, "look")


@pytest.mark.parametrize(
    ("exists", "problem"),
    [(False, "cannot look: no such directory: x"), (True, "cannot look: x is not a run directory")],
)
@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize("variable", [True, False])
def test_a_directory_without_a_run_is_told_with_its_source_and_the_runs_there_are(
    run, home, monkeypatch, exists, problem, others, variable
):
    if exists:
        (home.parent / "x").mkdir()
    if others:
        run("other")
    if variable:
        monkeypatch.setenv("PDSUP_RUN_DIR", "x")
        problem = problem.replace(": x", ": x (from PDSUP_RUN_DIR)")
    with pytest.raises(NothingThere) as caught:
        choice.choose(None if variable else "x", "look")
    first, *rest = str(caught.value).splitlines()
    assert first == problem + ("; active on this machine:" if others else "")
    assert [line.split()[0] for line in rest] == (["plan-of-other"] if others else [])


def test_a_run_whose_directory_has_vanished_is_found_while_its_agent_answers(agent, home):
    agent(run="run")
    (home.parent / "run").rmdir()
    assert chosen("run") == ("run", Source.OPTION)


def test_only_agents_of_the_run_that_is_meant_are_waited_for(agent, monkeypatch):
    meant, other = (agent(run=run, listens=False).parent for run in ("one", "two"))
    looked_at = []

    def guardian_of(directory):
        looked_at.append(directory.resolve())

    monkeypatch.setattr("pdsup.units.ledger.guardian_of", guardian_of)
    assert not choice.choose("one", "look").cluster.sockets
    assert meant.resolve() in looked_at
    assert other.resolve() not in looked_at
