"""``pdsup reload --agent``."""

import json

GUARDED = ("-m", "supervisor", "agent")


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
