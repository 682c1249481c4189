"""Which of a node's units restart, and when."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from types import SimpleNamespace

import pytest

from pdsup.bell import Bell
from pdsup.cluster import rollout
from pdsup.cluster.gate import Gates
from pdsup.cluster.own_report import OwnReport, unit_report
from pdsup.cluster.peers import Peers
from pdsup.cluster.rollout import RESTART, Rollout
from pdsup.cluster.rollout_rules import WAITS
from pdsup.plan import difference
from pdsup.plan.model import Need, Needs
from pdsup.units import states
from pdsup.units.ledger import Note
from tests.bed.hosts import FIRST_PID, FakeNode, settle
from tests.bed.network import TOKEN, FakeNetwork

OLD = "e" * 64
STATES = {
    "RUNNING": states.Running(2, 0.0, ()),
    "FATAL": states.Fatal((), "gave up"),
    "STOPPED": states.Stopped(),
    "WAITING": states.Waiting((), "waits"),
    "DRAINING": states.Draining(2, 900.0, states.Then.REST, (), "stop requested"),
    "STOPPING": states.Stopping(2, 900.0, states.Then.REST, (), "stop requested"),
}


FREE = Needs(units=(Need(unit="decode-1"),), later="one-per-role")


def left(unit, state, fingerprint="then"):
    """What an earlier agent left of a unit that it had started from another plan."""
    return Note(
        unit=unit, state=STATES[state], run=2, since=0.0, spawned=1.0, main=(FIRST_PID, 1), tag=1,
        log=None, ended=False, was_ready=True, last_exit=None, fingerprint=fingerprint,
    )  # fmt: skip


@pytest.fixture
def node(assignment, plan, digest, report, tmp_path, monkeypatch):
    """A node whose units an earlier agent left in the given states, outdated unless they are
    ``as_planned``. The router there needs decode-1. ``peers``: what other nodes report.
    """

    @contextlib.asynccontextmanager
    async def made(name="node0", *, former=(OLD,), peers=(), decode=True, as_planned=(), **of):
        units = tuple(
            dataclasses.replace(unit, node=name, needs=FREE) if unit.name == "router-0" else unit
            for unit in plan.units
        )
        here = dataclasses.replace(plan, units=units)
        own = dataclasses.replace(assignment(name, here), former=former)
        it = SimpleNamespace(now=100.0)
        monkeypatch.setattr(rollout.clock, "monotonic", lambda: it.now)
        async with asyncio.TaskGroup() as tasks:
            bed = FakeNode([unit for unit in own.units if unit.name in of], tasks, tmp_path)
            it.own_report, network = OwnReport(own, Bell()), FakeNetwork(here)
            for unit, runner in bed.runners.items():
                planned = difference.fingerprint(runner.unit.plan)
                fingerprint = planned if unit in as_planned else "then"
                runner.restore(left(unit, of[unit], fingerprint))
                said = unit_report(here.by_name[unit], runner.facts, made=fingerprint)
                it.own_report.publish(said)
            others = Peers(here, digest, former, TOKEN, network, tasks)
            gates = Gates(own, it.own_report, others, tasks, lambda: None)
            known = [report(other, units=(), **what) for other, what in peers]
            known += [report("node3", units=("decode-1",))] if decode else []
            others.follow(one.node for one in known)
            for one in known:
                await network.publish(one)
            await settle()
            it.rollout = Rollout(own, bed.runners, it.own_report, others, gates, lambda: None)
            it.told = lambda: {unit: told for unit, told in bed.told.items() if told}
            try:
                yield it
            finally:
                await gates.close()
                await others.close()

    return made


def published(it):
    """Whether all nodes have the plan, and whose turn it is, as other nodes read it."""
    report = it.own_report.report()
    return report.level, report.turn


RUNNING = {"prefill-0": "RUNNING", "router-0": "RUNNING"}
ALL = {"prefill-0": [RESTART], "router-0": [RESTART]}


async def test_a_plan_that_was_never_changed_changes_nothing(node):
    async with node(former=(), **RUNNING) as it:
        before = it.own_report.version
        it.rollout.react()
        assert (it.told(), it.own_report.version) == ({}, before)
        assert it.rollout.reason("router-0") is None


async def test_everything_restarts_when_every_node_has_the_plan_and_once(node):
    async with node(**RUNNING) as it:
        assert it.rollout.reason("router-0") == WAITS
        assert published(it) == (False, None)
        for _ in range(3):
            it.rollout.react()
        assert it.told() == ALL
        assert it.rollout.reason("router-0") is None
        assert published(it) == (True, "router-0")


async def test_before_that_only_what_is_not_as_planned_is_held(node):
    async with node(peers=[("node1", {"plan": OLD})], as_planned=["prefill-0"], **RUNNING) as it:
        it.rollout.react()
        assert it.told() == {}
        assert it.rollout.reason("router-0") == "waits for node1 to load the changed plan"
        assert it.rollout.reason("prefill-0") is None
        assert it.rollout.holds("router-0") == "waits for node1 to load the changed plan"
        assert published(it) == (False, None)


async def test_what_is_as_planned_runs_on(node):
    async with node(as_planned=["prefill-0"], **RUNNING) as it:
        it.rollout.react()
        assert it.told() == {"router-0": [RESTART]}


async def test_a_node_that_does_not_take_it_in_is_not_waited_for_for_ever(node):
    async with node(peers=[("node1", {"plan": OLD})], **RUNNING) as it:
        it.rollout.react()
        assert it.told() == {}
        it.now += rollout.PATIENCE_S
        it.rollout.react()
        assert it.told() == ALL
        assert published(it) == (True, "router-0")


@pytest.mark.parametrize(("turn", "told"), [("router-1", []), ("router-0", [RESTART])])
async def test_a_router_of_another_node_waits_for_its_turn(node, turn, told):
    units = {"prefill-1": "RUNNING", "router-0": "RUNNING"}
    async with node("node1", peers=[("node0", {"turn": turn})], **units) as it:
        it.rollout.react()
        assert it.told().get("prefill-1") == [RESTART]
        assert it.told().get("router-0", []) == told
        hold = "" if told else "waits for router-1 to restart first"
        assert it.rollout.holds("router-0") == hold


async def test_a_router_that_would_have_to_wait_runs_on(node):
    async with node(decode=False, **RUNNING) as it:
        it.rollout.react()
        assert it.told() == {"prefill-0": [RESTART]}
        assert it.rollout.holds("router-0") == "waits for any decode"


@pytest.mark.parametrize("state", ["DRAINING", "STOPPING"])
async def test_what_was_asked_to_stop_is_not_started_again(node, state):
    """Else the end of a node would wait for it for ever."""
    async with node(**{"prefill-0": state, "router-0": state}) as it:
        it.rollout.react()
        assert it.told() == {}


async def test_what_gave_up_is_tried_at_once_and_what_rests_or_waits_is_left(node):
    async with node(**{"prefill-0": "STOPPED", "etcd": "WAITING", "router-0": "FATAL"}) as it:
        it.rollout.react()
        assert it.told() == {"router-0": [RESTART]}
