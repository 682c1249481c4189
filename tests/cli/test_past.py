"""A run that has ended can be read: every verb that looks works from the run directory alone."""

import json
import shutil
import signal

import pytest

TALKING = ("sh", "-c", "echo said something; exec sleep 1000")
LOOKS = [
    ["status"], ["status", "--all"], ["status", "--json"], ["explain", "a"],
    ["explain", "a", "--json"], ["logs", "a"], ["logs", "a", "--json"], ["events"],
    ["events", "--json"], ["report", "--json"], ["list", "--json"],
]  # fmt: skip
CHANGES = [
    ["start", "a"], ["stop", "a"], ["restart", "a"], ["signal", "HUP", "a"], ["reload"],
    ["shutdown"], ["shutdown", "--all"], ["web"],
]  # fmt: skip


@pytest.fixture(scope="module")
def ended(shared_agents):
    """The directory of a run that has ended in order; its node-local directories are gone."""
    agents = shared_agents
    plan = agents.plan(agents.unit("a", *TALKING), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "a")
    agents.reaches("RUNNING", "b", "node1")
    for node in ("node0", "node1"):
        agents.signal(signal.SIGTERM, node)
    agents.ended("node0", "node1")
    return agents.run_dir


@pytest.fixture(params=["where it was", "a copy"])
def run_dir(ended, request, tmp_path):
    """Where the run directory is: a colleague may have got a copy of it."""
    if request.param == "where it was":
        return ended
    return shutil.copytree(ended, tmp_path / "copy")


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
@pytest.mark.parametrize("way", ["option", "variable", "inside"])
def test_all_that_looks_works_on_a_run_that_has_ended(
    run_dir, pdsup_shared, shared_agents, monkeypatch, words, way
):
    verb, *rest = words
    more = {"option": ["--run-dir", str(run_dir)]}.get(way, [])
    if verb == "report":
        more, rest = ([str(run_dir)] if way == "option" else []), [*rest]
    if way == "variable":
        monkeypatch.setitem(shared_agents.environ, "PDSUP_RUN_DIR", str(run_dir))
    if verb == "list":
        more = []
    done = pdsup_shared(verb, *rest, *more, cwd=run_dir / "logs" if way == "inside" else None)
    assert done.returncode == (3 if verb == "status" else 0), done.stderr
    assert "Traceback" not in done.stderr
    assert "start" not in done.stderr
    if "--json" in words:
        json.loads(done.stdout)
    assert done.stdout
    if verb in ("status", "explain", "logs"):
        assert "ended" in done.stderr
        assert done.stderr.endswith("; the last known:\n")
        assert ("(from PDSUP_RUN_DIR)" in done.stderr) is (way == "variable")


@pytest.mark.parametrize("words", CHANGES, ids=" ".join)
def test_what_changes_something_says_that_the_run_has_ended(ended, pdsup_shared, words):
    done = pdsup_shared(*words, "--run-dir", str(ended))
    assert (done.returncode, done.stdout) == (4, "")
    assert f": small in {ended} ended " in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_shown_of_a_run_that_has_ended(ended, pdsup_shared):
    found = json.loads(pdsup_shared("status", "--json", "--run-dir", str(ended)).stdout)
    assert found["past"]["state"] == "ended"
    units = [unit for node in found["nodes"] for unit in node["units"]]
    assert [(unit["name"], unit["state"], unit["reason"]) for unit in units] == [
        ("a", "STOPPED", "was RUNNING"), ("b", "STOPPED", "was RUNNING"),
    ]  # fmt: skip
    told = pdsup_shared("explain", "a", "--run-dir", str(ended)).stdout
    assert "Next: nothing, its run has ended." in told
    assert "| said something" in told
    assert "said something" in pdsup_shared("logs", "a", "--run-dir", str(ended)).stdout


@pytest.mark.parametrize("verb", ["explain", "logs", "status"])
def test_a_unit_that_a_past_run_did_not_have_is_named(ended, pdsup_shared, verb):
    done = pdsup_shared(verb, "aa", "--run-dir", str(ended))
    assert (done.returncode, done.stdout) == (4, "")
    assert " aa: no such unit" in done.stderr


@pytest.mark.parametrize("plan", [None, "{", "plan: 2\n"], ids=["none", "no YAML", "a later one"])
def test_a_past_run_without_a_plan_that_can_be_read_says_so(ended, pdsup_shared, tmp_path, plan):
    copy = shutil.copytree(ended, tmp_path / "copy")
    (copy / "plan.yaml").unlink()
    if plan is not None:
        (copy / "plan.yaml").write_text(plan)
    done = pdsup_shared("status", "--run-dir", str(copy))
    assert (done.returncode in (1, 2), done.stdout) == (True, "")
    assert "plan.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_killed_agents_left_is_stopped_by_a_shutdown(agents, pdsup):
    plan = agents.plan(agents.unit("a"))
    agents.start(plan)
    pid = agents.reaches("RUNNING", "a")["pid"]
    assert agents.journal()
    agents.signal(signal.SIGKILL)
    agents.ended()
    done = pdsup("status")
    assert done.returncode == 3
    assert f"small in {agents.run_dir} is without agents, they were killed on node0" in done.stderr
    assert "and 1 unit still runs (pdsup shutdown --all --run-dir " in done.stderr
    assert f"pid {pid}, was RUNNING; its agent was killed" in done.stdout
    done = pdsup("shutdown", "--all")
    assert (done.returncode, agents.processes_left()) == (0, [])
    assert done.stderr.endswith(f"stopped small in {agents.run_dir}: node0\n")
    assert not list((agents.run_dir / "agents").iterdir())
    assert pdsup("status", "--run-dir", str(agents.run_dir)).returncode == 3
