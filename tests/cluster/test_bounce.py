"""Decodes that restart with a prefill, where the plan says so."""

import json
import os
import signal

import pytest

FAST = {"first_delay_s": 0.1, "delay_s": 0.1, "factor": 1.0}


@pytest.fixture
def cluster(agents):
    """Starts a prefill and two decodes, on a node each, and returns what restarts them."""

    def worker(name, role, node):
        return agents.unit(name, node=node, kind="worker", role=role, rank=0, restart=FAST)

    def start(bounce):
        units = [worker("decode-0", "decode", "node1"), worker("decode-1", "decode", "node2")]
        plan = agents.plan(worker("prefill-0", "prefill", "node0"), *units, nodes=3)
        whole = {**json.loads(plan.read_text()), "bounce_decodes": bounce}
        plan.write_text(json.dumps(whole))
        agents.start(plan, "node0", "node1", "node2")
        for name, node in (("prefill-0", "node0"), ("decode-0", "node1"), ("decode-1", "node2")):
            agents.reaches("RUNNING", name, node)

    return start


def kill(agents, name, node, wait_for):
    os.kill(agents.look(name, node)["pid"], signal.SIGKILL)
    wait_for(lambda: (u := agents.look(name, node))["run"] == 2 and u["state"] == "RUNNING")


def test_a_prefill_that_is_back_starts_every_decode_again_without_blame(agents, cluster, wait_for):
    cluster("on-prefill-restart")
    # An agent that has only just heard of the prefill for the first time bounces nothing.
    wait_for(lambda: agents.status("node1", "?all=1")["node0"]["units"][0]["state"] == "RUNNING")
    wait_for(lambda: agents.status("node2", "?all=1")["node0"]["units"][0]["state"] == "RUNNING")
    kill(agents, "prefill-0", "node0", wait_for)
    for name, node in (("decode-0", "node1"), ("decode-1", "node2")):
        wait_for(lambda: agents.look(name, node)["run"] == 2)  # noqa: B023
        ended = next(line for line in agents.journal(node) if line["to"] == "STOPPING")
        assert (ended["unit"], ended["reason"]) == (name, "prefill-0 restarted")
        assert agents.reaches("RUNNING", name, node)["run"] == 2
        assert not [line for line in agents.journal(node) if line["to"] == "BACKOFF"]


def test_a_decode_that_is_back_starts_nothing_else_again(agents, cluster, wait_for):
    cluster("on-prefill-restart")
    kill(agents, "decode-0", "node1", wait_for)
    assert agents.look("decode-1", "node2")["run"] == 1
    assert agents.look("prefill-0", "node0")["run"] == 1


def test_without_the_wish_decodes_are_left_alone(agents, cluster, wait_for):
    cluster("never")
    kill(agents, "prefill-0", "node0", wait_for)
    wait_for(lambda: agents.status("node1", "?all=1")["node0"]["units"][0]["run"] == 2)
    assert agents.look("decode-0", "node1")["run"] == 1
