"""Which of a node's units restart, and when."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from pdsup.cluster import rollout
from pdsup.cluster.report import Peer
from pdsup.cluster.rollout import RESTART, Rollout
from pdsup.cluster.rollout_rules import WAITS
from pdsup.units import states

OLD = "e" * 64
STATES = {
    "RUNNING": states.Running(2, 0.0, ()),
    "FATAL": states.Fatal((), "gave up"),
    "STOPPED": states.Stopped(),
    "WAITING": states.Waiting((), "waits"),
}


@pytest.fixture
def node(assignment, plan, report, unit_report, monkeypatch):
    """The first node, whose units are in the given states, outdated, among others of some plan."""

    def made(name="node0", *, former=(OLD,), peers=(), gate=None, **known):
        runners = {
            unit: SimpleNamespace(
                unit=SimpleNamespace(plan=plan.by_name[unit]),
                facts=SimpleNamespace(state=STATES[state], run=2),
                outdated=True,
                is_as_planned=False,
                told=[],
            )
            for unit, state in known.items()
        }
        for runner in runners.values():
            runner.tell = runner.told.append
        it = SimpleNamespace(runners=runners, now=100.0, published=[], rung=[])
        reports = {unit: unit_report(unit, state, made="then") for unit, state in known.items()}
        gates = SimpleNamespace(
            look=reports.get, inquire=lambda _: None, reason=lambda unit, first: gate
        )
        peers_known = SimpleNamespace(
            peers={
                peer: Peer(peer, report(peer, **what), heard=1.0, problem=None)
                for peer, what in peers
            }
        )
        own_report = SimpleNamespace(
            publish_rollout=lambda all_have_plan, router_turn: it.published.append(
                (all_have_plan, router_turn)
            )
        )
        monkeypatch.setattr(rollout.clock, "monotonic", lambda: it.now)
        own = dataclasses.replace(assignment(name), former=former)
        it.rollout = Rollout(own, runners, own_report, peers_known, gates, lambda: None)
        it.told = lambda: {unit: runner.told for unit, runner in runners.items() if runner.told}
        return it

    return made


RUNNING = {"prefill-0": "RUNNING", "router-0": "RUNNING"}


async def test_a_plan_that_was_never_changed_changes_nothing(node):
    it = node(former=(), **RUNNING)
    it.rollout.react()
    assert (it.told(), it.published, it.rollout.reason("router-0")) == ({}, [], None)


async def test_everything_restarts_when_every_node_has_the_plan_and_once(node):
    it = node(**RUNNING)
    assert it.rollout.reason("router-0") == WAITS
    for _ in range(3):
        it.rollout.react()
    assert it.told() == {"prefill-0": [RESTART], "router-0": [RESTART]}
    assert it.rollout.reason("router-0") is None
    assert it.published[0] == (False, None)
    assert it.published[-1] == (True, "router-0")


async def test_before_that_only_what_is_not_as_planned_is_held(node):
    it = node(peers=[("node1", {"plan": OLD})], **RUNNING)
    it.runners["prefill-0"].is_as_planned = True
    it.rollout.react()
    assert it.told() == {}
    assert it.rollout.reason("router-0") == "waits for node1 to load the changed plan"
    assert it.rollout.reason("prefill-0") is None
    assert it.published[-1] == (False, None)


async def test_a_node_that_does_not_take_it_in_is_not_waited_for_for_ever(node):
    it = node(peers=[("node1", {"plan": OLD})], **RUNNING)
    it.now += rollout.PATIENCE_S
    it.rollout.react()
    assert it.told() == {"prefill-0": [RESTART], "router-0": [RESTART]}
    assert it.published[-1] == (True, "router-0")


async def test_a_router_of_another_node_waits_for_its_turn(node):
    it = node("node1", peers=[("node0", {"turn": "router-1"})], **RUNNING)
    it.rollout.react()
    assert it.told() == {"prefill-0": [RESTART]}
    it = node("node1", peers=[("node0", {"turn": "router-0"})], **RUNNING)
    it.rollout.react()
    assert it.told() == {"prefill-0": [RESTART], "router-0": [RESTART]}


async def test_a_router_that_would_have_to_wait_runs_on(node):
    it = node(gate="waits for decode-7", **RUNNING)
    it.rollout.react()
    assert it.told() == {"prefill-0": [RESTART]}


async def test_what_gave_up_is_tried_at_once_and_what_rests_or_waits_is_left(node):
    it = node(**{"prefill-0": "STOPPED", "etcd": "WAITING", "router-0": "FATAL"})
    it.rollout.react()
    assert it.told() == {"router-0": [RESTART]}
