"""``pdsup shutdown``."""

import json

import pytest

STUBBORN = ("sh", "-c", 'trap "" TERM; echo trapped; exec sleep 1000')


@pytest.fixture
def two(agents):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "a")
    agents.reaches("RUNNING", "b", "node1")
    return agents


def test_a_shutdown_returns_when_the_agent_and_all_its_processes_are_gone(agents, pdsup):
    agents.start(agents.plan(agents.unit("worker")))
    agents.reaches("RUNNING", "worker")
    done = pdsup("shutdown")
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "",
        f"stopped small in {agents.run_dir}: node0\n",
    )
    assert agents.processes_left() == []
    assert agents.ended() == {"node0": 0}


def test_a_shutdown_of_all_ends_the_whole_cluster(two, pdsup):
    done = pdsup("shutdown", "--all")
    assert (done.returncode, done.stderr) == (0, f"stopped small in {two.run_dir}: node0, node1\n")
    assert two.processes_left() == []
    assert two.ended("node0", "node1") == {"node0": 0, "node1": 0}


def test_a_shutdown_as_json_is_one_value(two, pdsup):
    done = pdsup("shutdown", "--all", "--json")
    assert (done.returncode, done.stderr) == (0, f"stopped small in {two.run_dir}: node0, node1\n")
    assert json.loads(done.stdout) == {
        "run_dir": str(two.run_dir), "stopped": ["node0", "node1"], "left": [],
    }  # fmt: skip


def test_a_shutdown_of_one_node_leaves_the_others_alone(two, pdsup):
    done = pdsup("shutdown", "--node", "node1")
    assert (done.returncode, done.stderr) == (0, f"stopped small in {two.run_dir}: node1\n")
    assert two.processes["node1"].poll() == 0
    assert two.look("a")["state"] == "RUNNING"


def test_one_of_several_agents_must_be_chosen(two, pdsup):
    done = pdsup("shutdown")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "give --all, or --node with one of node0, node1" in done.stderr
    assert two.look("a")["state"] == "RUNNING"


def test_a_node_that_is_not_here_is_wrong_usage_that_names_those_that_are(two, pdsup):
    done = pdsup("shutdown", "--node", "node7")
    assert done.returncode == 2
    assert (
        done.stderr
        == "pdsup: cannot shut down node7: the agents on this machine are node0, node1\n"
    )


def test_a_shutdown_of_nothing_is_told(pdsup):
    assert pdsup("shutdown").returncode == 4


def test_a_shutdown_that_takes_too_long_names_who_has_not_ended(agents, pdsup, wait_for):
    agents.start(agents.plan(agents.unit("worker", *STUBBORN, stop={"timeout_s": 600})))
    log = agents.run_dir / "logs" / "node0_worker.out"
    wait_for(lambda: log.exists() and "trapped" in log.read_text())
    done = pdsup("shutdown", "--timeout", "0.2", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "run_dir": str(agents.run_dir), "stopped": [], "left": ["node0"],
    }  # fmt: skip
    assert done.stderr == "pdsup: cannot shut down node0: still running after 0.2 s\n"
