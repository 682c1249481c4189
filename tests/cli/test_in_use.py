"""The directory of a run that is in use, or was, is taken over by no verb."""

import os
import signal
import subprocess
import sys

import pytest

from pdsup.cli.screens.catalogue import VERBS
from pdsup.errors import SupervisorError
from pdsup.node.run_dir import refuse_own_file

# Verbs that change files of a run, as they are meant to: its own cluster does, or its benchmark.
MEANT_TO = {"reload", "run"}
# How each verb that writes where it is told can be told to write into somebody's run.
MISTAKES = {
    "up": [
        ("up", "{other}", "--run-dir", "{run}"),
        ("up", "{other}", "--detach", "--run-dir", "{run}"),
        ("up", "{other}", "--run-dir", "{run}", "--", "true"),
        ("up", "{same}", "--run-dir", "{run}"),
    ],
    "agent": [("agent", "{other}", "--node", "node1", "--run-dir", "{run}")],
    "plan": [("plan", "{other}", "-o", "{run}/token")],
    "report": [("report", "{run}", "-o", "{run}/plan.yaml")],
    "bundle": [("bundle", "{run}", "-o", "{run}/run.json")],
}
# All others write no file whose name they are given.
OTHERS = {
    "check", "completion", "doctor", "events", "evidence", "explain", "help", "list", "logs",
    "restart", "results", "sbatch", "scrape-config", "shutdown", "signal", "start", "status",
    "stop", "url", "version", "wait", "web",
}  # fmt: skip


@pytest.fixture(scope="module")
def used(shared_agents):
    """A run of one unit on the first of two nodes, and another plan for them."""
    same = shared_agents.plan(shared_agents.unit("a"), nodes=2)
    shared_agents.start(same)
    shared_agents.reaches("RUNNING", "a")
    shared_agents.journal()  # so that nothing is still to be written
    other = shared_agents.plan(shared_agents.unit("b", node="node1"), nodes=2, name="other.yaml")
    return {"run": str(shared_agents.run_dir), "same": str(same), "other": str(other)}


def contents(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_every_verb_is_known_to_write_into_a_run_or_not_to():
    assert set(VERBS) - OTHERS - MEANT_TO == set(MISTAKES)


@pytest.mark.parametrize("words", [words for each in MISTAKES.values() for words in each])
def test_nothing_is_written_into_a_run_that_is_in_use(shared_agents, pdsup_shared, used, words):
    before, pid = contents(shared_agents.run_dir), shared_agents.look("a")["pid"]
    done = pdsup_shared(*(word.format(**used) for word in words))
    assert done.returncode == 1, done.stderr
    assert contents(shared_agents.run_dir) == before
    assert shared_agents.look("a")["pid"] == pid
    if words[0] in ("up", "agent"):
        first, *advice = done.stderr.splitlines()
        assert f"{used['run']} is in use by the agents of node0, since " in first
        assert [line.split(":")[0].strip() for line in advice[:3]] == [
            "to benchmark it", "to change it", "to end it"
        ]  # fmt: skip


def test_an_agent_on_another_machine_counts_too(shared_agents, used, tmp_path):
    """Another runtime directory hides an agent as another machine does; its address answers."""
    before = contents(shared_agents.run_dir)
    away = {"XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path)}
    words = ("agent", used["other"], "--node", "node1", "--run-dir", used["run"])
    done = subprocess.run(
        [sys.executable, "-m", "pdsup", *words], env={**shared_agents.environ, **away},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is in use by the agents of node0\n" in done.stderr
    assert contents(shared_agents.run_dir) == before


def test_units_whose_agent_was_killed_are_not_ended_for_another_plan(agents, pdsup, wait_for):
    agents.start(agents.plan(agents.unit("a")))
    pid = agents.reaches("RUNNING", "a")["pid"]
    agents.signal(signal.SIGKILL)
    agents.ended()
    other = agents.plan(agents.unit("b"), name="other.yaml")
    run = ("--run-dir", str(agents.run_dir))
    before = contents(agents.run_dir)
    for words in (("agent", str(other), "--node", "node0", *run), ("up", str(other), *run)):
        done = pdsup(*words)
        assert f"{agents.run_dir} is in use by " in done.stderr
    os.kill(pid, 0)
    assert contents(agents.run_dir) == before
    assert pdsup("shutdown", "--all", *run).returncode == 0
    assert agents.processes_left() == []


def test_the_directory_of_an_earlier_run_is_kept_and_a_new_one_named(agents, pdsup):
    run = ("--run-dir", str(agents.run_dir))
    plan = str(agents.plan(agents.unit("a")))
    assert pdsup("up", plan, *run, "--", "true").returncode == 0
    before = contents(agents.run_dir)
    done = pdsup("up", plan, *run)
    assert done.returncode == 1
    assert "holds an earlier run, whose last event was at " in done.stderr
    assert done.stderr.endswith(f"such as --run-dir {agents.run_dir}-2\n")
    assert contents(agents.run_dir) == before


@pytest.fixture
def ended_run(tmp_path):
    """What a run leaves."""
    for name in (*OWN, "report.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    return tmp_path


OWN = (
    "plan.yaml", "plan.0123456789.yaml", "origin.json", "origin.0123456789.json", "run.json",
    "token", "view-token", "events/node0.jsonl", "logs/node0_a.out", "evidence/a-1/probes.txt",
    "nginx/nginx.conf",
)  # fmt: skip


@pytest.mark.parametrize("name", [*OWN, "events/new.jsonl", "logs/../token"])
def test_no_output_file_replaces_one_that_a_run_needs(ended_run, name):
    with pytest.raises(SupervisorError, match="it is a file of the run"):
        refuse_own_file(ended_run / name, "write the report")


@pytest.mark.parametrize("name", ["report.html", "new.html", "logs/new.html", "../plan.yaml"])
def test_other_files_may_be_put_beside_those_of_a_run(ended_run, name):
    refuse_own_file(ended_run / name, "write the report")


def test_a_plan_may_be_written_to_where_a_reload_reads_it(ended_run):
    refuse_own_file(ended_run / "plan.yaml", "write the plan", but="plan.yaml")
