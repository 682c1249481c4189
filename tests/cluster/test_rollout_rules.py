"""When a changed plan applies, and whose turn it is."""

from __future__ import annotations

import dataclasses

import pytest

from pdsup.cluster.report import Peer, akin
from pdsup.cluster.rollout_rules import WAITS, behind, router_hold, router_turn

OLD = "e" * 64


@pytest.fixture
def peers(report):
    """What a node knows of others; each is given the changes of its report, why it can't be asked,
    or None: it was not asked yet.
    """

    def make(**known):
        return {
            node: Peer(node)
            if what is None
            else Peer(node, report(node), failing=1.0, problem=what)
            if isinstance(what, str)
            else Peer(node, report(node, **what), heard=1.0, problem=None)
            for node, what in known.items()
        }

    return make


def test_a_plan_applies_when_every_node_has_it(plan, digest, peers):
    assert behind(plan, digest, "node0", peers(node1={}, node2={}, node3={})) is None
    assert behind(plan, digest, "node0", {}) is None


def test_the_first_node_names_who_is_late(plan, digest, peers):
    late = peers(node1={}, node2={"plan": OLD}, node3={"plan": OLD})
    assert behind(plan, digest, "node0", late) == "waits for node2 to load the changed plan"


@pytest.mark.parametrize("problem", ["cannot reach its agent: no route to host", "gone"])
def test_who_can_not_be_asked_is_not_waited_for(plan, digest, peers, problem):
    assert behind(plan, digest, "node0", peers(node1={}, node2=problem)) is None
    assert behind(plan, digest, "node1", peers(node0=problem)) is None


def test_who_was_not_asked_yet_is(plan, digest, peers):
    assert behind(plan, digest, "node0", peers(node1=None)) is not None
    assert behind(plan, digest, "node1", peers(node0=None)) is not None


def test_the_others_go_by_the_first_node(plan, digest, peers):
    assert behind(plan, digest, "node1", peers(node0={})) is None
    assert behind(plan, digest, "node1", peers(node0={}, node2={"plan": OLD})) is None
    assert behind(plan, digest, "node1", peers(node0={"level": False})) == WAITS
    found = behind(plan, digest, "node1", peers(node0={"plan": OLD}))
    assert found == "waits for node0 to load the changed plan"


@pytest.fixture
def routers(unit_report):
    """The turn among three routers, which are given as changes of their reports, or None; with
    ``hold``, why the last one waits.
    """
    names = [f"router-{index}" for index in range(3)]

    def make(*known, hold=False):
        reports = {
            name: what and dataclasses.replace(unit_report("router-0", **what), name=name)
            for name, what in zip(names, known, strict=True)
        }
        planned = dict.fromkeys(names, "now")
        turn = router_turn(planned, reports.__getitem__)
        return router_hold(planned, turn, reports.__getitem__) if hold else turn

    return make


AS_IT_WAS, ANEW = {"made": "then"}, {"made": "now"}


def test_routers_restart_in_the_order_of_the_plan(routers):
    assert routers(AS_IT_WAS, AS_IT_WAS, AS_IT_WAS) == "router-0"
    assert routers(ANEW, AS_IT_WAS, AS_IT_WAS) == "router-1"
    assert routers(ANEW, ANEW, AS_IT_WAS) == "router-2"
    assert routers(ANEW, ANEW, ANEW) is None


def test_one_that_does_not_serve_is_no_loss_and_comes_first(routers):
    broken = {**AS_IT_WAS, "state": "UNHEALTHY"}
    assert routers(AS_IT_WAS, broken, AS_IT_WAS) == "router-1"


@pytest.mark.parametrize("state", ["WAITING", "STARTING", "UNHEALTHY", "BACKOFF", "FATAL"])
def test_while_one_that_restarted_is_not_ready_the_others_stay(routers, state):
    assert routers({"state": state}, AS_IT_WAS, AS_IT_WAS) is None


@pytest.mark.parametrize("state", ["STOPPED", "EXITED"])
def test_one_at_rest_is_not_waited_for_and_has_no_turn(routers, state):
    assert routers({"state": state}, AS_IT_WAS, AS_IT_WAS) == "router-1"
    assert routers({**AS_IT_WAS, "state": state}, ANEW, ANEW) is None


def test_one_of_which_it_is_not_known_what_it_was_started_as_is_left_alone(routers):
    assert routers({"made": ""}, AS_IT_WAS, ANEW) == "router-1"


def test_one_whose_turn_has_not_come_names_the_one_that_it_waits_for(routers):
    assert routers(AS_IT_WAS, AS_IT_WAS, AS_IT_WAS, hold=True) == (
        "waits for router-0 to restart first"
    )
    for state in ("STARTING", "FATAL"):
        found = routers(ANEW, {**ANEW, "state": state, "ready": False}, AS_IT_WAS, hold=True)
        assert found == "waits for router-1 to become ready"


def test_one_of_which_nothing_is_known_is_left_out(routers):
    assert routers(None, AS_IT_WAS, ANEW) == "router-1"


def test_plans_of_one_run_know_each_other(report, digest):
    assert akin(report(), digest, ())
    assert akin(report(plan=OLD), digest, (OLD,))
    assert akin(report(plan=OLD, former=(digest,)), digest, ())
    assert akin(report(plan=OLD, former=("a" * 64,)), digest, ("a" * 64,))
    assert not akin(report(plan=OLD, former=("f" * 64,)), digest, ("a" * 64,))
