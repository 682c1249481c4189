"""``pdsup reload --agent``."""

import json

GUARDED = ("-m", "supervisor", "agent")


def test_what_was_taken_over_and_ends_takes_nothing_of_another_run_of_the_same_name_with_it(
    agents, pdsup, tmp_path
):
    """Its orphans are anywhere, so they are looked for among all processes."""
    first, second = tmp_path / "run-1", tmp_path / "run-2"
    plan = agents.plan(agents.unit("a"))
    agents.run_dir = second
    agents.start(agents.plan(agents.unit("a", node="node1"), nodes=2, name="other.yaml"), "node1")
    other = agents.reaches("RUNNING", "a", "node1")["pid"]
    agents.run_dir = first
    agents.start(plan, program=GUARDED)
    agents.reaches("RUNNING", "a")
    assert pdsup("reload", "--agent", "--run-dir", str(first)).returncode == 0
    assert pdsup("stop", "a", "--run-dir", str(first)).stdout == "a: stopped\n"
    assert agents.reaches("RUNNING", "a", "node1")["pid"] == other


def test_new_agents_take_the_places_of_those_that_are_here(agents, pdsup):
    agents.start(agents.plan(agents.unit("a")), program=GUARDED)
    pid = agents.reaches("RUNNING", "a")["pid"]
    before = agents.status()["node0"]["agent"]["incarnation"]
    done = pdsup("reload", "--agent", "--json")
    assert (done.returncode, done.stderr) == (0, "node0: a new agent has taken over\n")
    now = agents.status()["node0"]["agent"]["incarnation"]
    assert now != before
    assert json.loads(done.stdout) == {
        "agents": [{"node": "node0", "replaced": before, "incarnation": now}]
    }
    assert agents.reaches("RUNNING", "a")["pid"] == pid
