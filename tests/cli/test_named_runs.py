"""Every verb is for the run that is named, and says so; what was not named is not ended unasked."""

import os
from pathlib import Path

import pytest

from pdsup.cli.main import parser_of
from pdsup.cli.screens.catalogue import VERBS

# What each verb needs beside the run.
WORDS = {
    "logs": ["a"], "explain": ["a"], "evidence": ["a"], "start": ["a"], "stop": ["a"],
    "restart": ["a"], "signal": ["HUP", "a"], "run": ["--", "true"],
}  # fmt: skip
# `wait` and `run` may be started before the run they wait for.
WAITING = {"wait", "run"}
BEGIN = {"up", "agent"}
NAMING = [
    verb
    for verb in VERBS
    if any("run_dir" in action.dest for action in parser_of(verb)._actions)
]  # fmt: skip


def words(verb, plan="plan.yaml"):
    return [verb, *WORDS.get(verb, [str(plan)] if verb in BEGIN else [])]


@pytest.mark.parametrize("verb", sorted(set(NAMING) - BEGIN - WAITING))
def test_a_directory_that_the_variable_names_is_told_with_its_source(pdsup, agents, verb):
    agents.environ["PDSUP_RUN_DIR"] = "nosuch"
    done = pdsup(*words(verb))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.endswith(": no such directory: nosuch (from PDSUP_RUN_DIR)\n")


@pytest.mark.parametrize("way", ["option", "variable"])
@pytest.mark.parametrize("verb", NAMING)
def test_a_directory_whose_path_is_not_utf_8_is_refused_in_one_line(pdsup, agents, verb, way):
    plan = agents.plan(agents.unit("a"))
    odd = str(agents.directory / os.fsdecode(b"x\xff"))
    Path(odd).mkdir()
    first, *rest = words(verb, plan)
    (named,) = (one for one in parser_of(verb)._actions if "run_dir" in one.dest)
    option = ([odd] if not named.option_strings else ["--run-dir", odd]) if way == "option" else []
    if way == "variable":
        agents.environ["PDSUP_RUN_DIR"] = odd
    done = pdsup(first, *option, *rest)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("x\\udcff': its path is not UTF-8\n")
    assert done.stderr.count("\n") == 1


def test_a_run_begins_in_the_directory_that_the_variable_names(agents, pdsup):
    agents.environ["PDSUP_RUN_DIR"] = "here"
    plan = agents.plan(agents.unit("a", "true", restart={"policy": "never"}))
    done = pdsup("up", str(plan), "--", "true")
    assert f"writing to {agents.directory}/here (from PDSUP_RUN_DIR)\n" in done.stderr
    assert (done.returncode, (agents.directory / "here" / "plan.yaml").exists()) == (0, True)
    done = pdsup("up", str(plan), "--", "true")
    assert done.returncode == 1
    assert f"{agents.directory}/here (from PDSUP_RUN_DIR) holds an earlier run" in done.stderr


@pytest.fixture
def one(agents):
    agents.start(agents.plan(agents.unit("a")))
    agents.reaches("RUNNING", "a")
    return agents


def test_without_a_terminal_only_a_run_of_this_directory_is_ended_unless_it_is_named(
    one, pdsup, tmp_path_factory
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = pdsup("shutdown", "--all", cwd=elsewhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"pdsup: cannot shut down small in {one.run_dir}: it was not named, and is not a run of "
        f"the current directory; give --run-dir {one.run_dir}, or --yes\n"
    )
    assert one.look("a")["state"] == "RUNNING"
    done = pdsup("restart", "a", cwd=elsewhere)
    assert done.stderr == f"pdsup: restart a of small in {one.run_dir}\n"
    assert pdsup("restart", "a").stderr == ""
    assert pdsup("shutdown", "--all", "--yes", cwd=elsewhere).returncode == 0


@pytest.mark.parametrize("where", ["near", "inside"])
def test_on_a_terminal_a_run_that_was_not_named_is_ended_only_when_confirmed(
    one, terminal, wait_for, where
):
    question = f"shut down small in {one.run_dir}? [y/N] "
    for answer, status in ((b"\n", 1), (b"n\n", 1), (b"y\n", 0)):
        if where == "inside" and status:
            continue
        cwd = one.run_dir if where == "inside" else None
        view = terminal("shutdown", "--all", columns=300, cwd=cwd)
        if where == "near":
            wait_for(lambda: view.shows(question))  # noqa: B023
            os.write(view.ours, answer)
        wait_for(lambda: view.ended())  # noqa: B023
        assert view.process.returncode == status
        assert ("[y/N]" in view.seen.decode()) is (where == "near")
        if status:
            assert "not confirmed" in view.seen.decode()
            assert one.look("a")["state"] == "RUNNING"


def test_agents_are_found_whatever_the_environment_says(one, pdsup, tmp_path, monkeypatch):
    """A shell on the node, or another step of the job, has another directory for its files."""
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setitem(one.environ, name, str(tmp_path))
    assert pdsup("status").returncode == 4
    run = ("--run-dir", str(one.run_dir))
    for words_ in (["status"], ["explain", "a"], ["logs", "a"], ["restart", "a"]):
        done = pdsup(*words_, *run)
        assert (done.returncode, done.stderr) == (0, "")
    done = pdsup("shutdown", *run)
    assert done.stderr == f"stopped small in {one.run_dir}: node0\n"
    assert one.processes_left() == []
