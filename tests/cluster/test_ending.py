"""The order in which units end, on one node and across nodes: real runners, no real processes.

Of the plan in ``cluster``: nginx and router-0 are on node0 with prefill-0 and etcd; decode-1 is on
node3 with the benchmark that needs it. The router needs all workers.
"""

import asyncio
import contextlib
import dataclasses
import itertools
from types import SimpleNamespace

import pytest

from pdsup import clock
from pdsup.bell import Bell
from pdsup.cluster import ending as ending_module
from pdsup.cluster.ending import Ending
from pdsup.cluster.own_report import OwnReport, unit_report
from pdsup.cluster.peers import Peers
from pdsup.units import events
from tests.bed.hosts import FakeNode, may_rest, settle
from tests.bed.network import TOKEN, FakeNetwork

LIMIT_S = 60.0
RESTING = ("STOPPED", "EXITED", "FATAL")
START, STOP = events.Start(), events.Stop(reason="the node is ending")


@pytest.fixture
def node(plan, digest, assignment, tmp_path, monkeypatch):
    """One node that ends: ``order`` is what stopped there, and when it was told to. ``known``: what
    it knows of another node, which can be ``lost``.
    """
    passed, real = [0.0], clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda: real() + passed[0])

    @contextlib.asynccontextmanager
    async def made(name, *, stubborn=(), known=None, lost=False, plan=plan, begin=True):
        bell, own, network = Bell(), assignment(name, plan), FakeNetwork(plan)
        own_report = OwnReport(own, bell)
        order = []

        def changed(unit, _):
            own_report.publish(unit_report(plan.by_name[unit], units.runners[unit].facts))
            step = f"{unit} {units.state(unit)}"
            if step.endswith(("STOPPING", "STOPPED")) and step not in order:
                order.append(step)

        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            units = FakeNode(own.units, tasks, tmp_path, changed)
            units.host.spawner.deaf |= {plan.by_name[unit].command[0] for unit in stubborn}
            peers = Peers(plan, digest, (), TOKEN, network, tasks)
            peers.listen(lambda _: bell.ring())
            units.serve()
            await units.up(*units.runners)
            ending = Ending(plan, units.runners, own_report, peers, bell)

            async def hear(report):
                await network.publish(report)
                await settle()

            async def lose(node):
                await network.cut(node)
                await settle()

            async def later(seconds):
                passed[0] += seconds
                bell.ring()
                await settle()

            if known is not None:
                peers.follow([known.node])
                await hear(known)
                if lost:
                    await lose(known.node)
            given = SimpleNamespace(
                ending=ending, units=units, order=order, peers=peers, hear=hear, later=later
            )
            if begin:
                given.ended = tasks.create_task(ending.end())
                await settle()
            try:
                yield given
            finally:
                await units.close()
                await peers.close()

    return made


@pytest.fixture
def front(report, unit_report):
    """What node0 says of its router while it ends (or not)."""
    sequence = itertools.count(1)

    def says(state, ending="SIGTERM"):
        units = tuple(
            unit_report(name, state if name == "router-0" else "RUNNING")
            for name in ("prefill-0", "etcd", "router-0", "nginx")
        )
        return dataclasses.replace(report("node0", next(sequence), ending=ending), units=units)

    return says


DECODE_STOPPED = ["decode-0 STOPPING", "decode-0 STOPPED"]


async def test_what_is_in_front_stops_first_and_is_gone_before_the_next(node):
    async with node("node0") as n:
        await n.ended
    assert n.order[:4] == [
        "nginx STOPPING", "nginx STOPPED", "router-0 STOPPING", "router-0 STOPPED",
    ]  # fmt: skip
    assert set(n.order[4:6]) == {"prefill-0 STOPPING", "etcd STOPPING"}
    assert {tuple(told) for told in n.units.told.values()} == {(START, STOP)}


async def test_a_unit_in_front_that_takes_its_time_is_waited_for(node):
    async with node("node0", stubborn=["nginx"]) as n:
        await n.later(1.9)
        assert n.order == ["nginx STOPPING"]
        await n.units.end("nginx")
        await n.ended


async def test_a_unit_in_front_that_does_not_stop_in_its_time_is_waited_for_no_longer(node):
    async with node("node0", stubborn=["nginx"]) as n:
        await n.later(2.1)
        assert n.order == ["nginx STOPPING", "router-0 STOPPING", "router-0 STOPPED",
                           "prefill-0 STOPPING", "etcd STOPPING", "prefill-0 STOPPED",
                           "etcd STOPPED"]  # fmt: skip
        assert not n.ended.done()
        await n.units.end("nginx")
        await n.ended


async def test_the_end_comes_only_when_every_unit_has_stopped(node):
    async with node("node0", stubborn=["etcd"]) as n:
        await n.later(1000)
        assert "prefill-0 STOPPED" in n.order
        assert not n.ended.done()
        await n.units.end("etcd")
        await n.ended


@pytest.mark.parametrize("state", RESTING)
async def test_a_unit_that_rests_already_is_in_nobodys_way(node, plan, state):
    plan = may_rest(plan, "nginx", state)
    async with node("node0", plan=plan, begin=False, stubborn=["nginx"]) as n:
        await n.units.reach("nginx", state)
        await n.ending.end()
    assert "router-0 STOPPED" in n.order


@pytest.mark.parametrize("state", ["WAITING", "BACKOFF"])
async def test_a_unit_that_may_still_start_is_stopped_too(node, state):
    async with node("node0", begin=False) as n:
        await n.units.reach("router-0", state)
        await n.ending.end()
        assert n.units.state("router-0") == "STOPPED"


async def test_a_node_without_units_ends_at_once(node, plan):
    async with node("node2", plan=dataclasses.replace(plan, units=())) as n:
        assert n.ended.done()


async def test_a_worker_waits_for_a_router_elsewhere_that_ends(node, front):
    async with node("node2", known=front("RUNNING")) as n:
        for state in ("RUNNING", "STOPPING"):
            await n.hear(front(state))
            await n.later(1.5)
            assert n.order == []
        await n.hear(front("STOPPED"))
        assert n.order == DECODE_STOPPED
        await n.ended


async def test_a_router_elsewhere_that_never_stops_is_waited_for_no_longer_than_it_may_take(
    node, front
):
    async with node("node2", known=front("STOPPING")) as n:
        await n.later(6.9)
        assert n.order == []
        await n.later(0.2)  # router 5 s and, before it, nginx 2 s
        assert n.order == DECODE_STOPPED


async def test_a_router_on_a_node_that_goes_on_is_waited_for_only_a_moment(node, front):
    async with node("node2", known=front("RUNNING", ending=None)) as n:
        await n.later(ending_module.ANNOUNCE_S * 0.9)
        assert n.order == []
        await n.later(ending_module.ANNOUNCE_S * 0.2)
        assert n.order == DECODE_STOPPED


async def test_a_node_that_says_in_time_that_it_ends_is_waited_for(node, front):
    async with node("node2", known=front("RUNNING", ending=None)) as n:
        await n.later(ending_module.ANNOUNCE_S * 0.9)
        await n.hear(front("RUNNING"))
        await n.later(ending_module.ANNOUNCE_S)
        assert n.order == []
        await n.hear(front("STOPPED"))
        await n.ended


async def test_a_node_that_can_not_be_reached_is_waited_for_only_a_moment(node, front):
    async with node("node2", known=front("RUNNING"), lost=True) as n:
        await n.later(ending_module.ANNOUNCE_S * 0.9)
        assert n.order == []
        await n.later(ending_module.ANNOUNCE_S * 0.2)
        assert n.order == DECODE_STOPPED


@pytest.mark.parametrize("state", RESTING)
async def test_a_node_that_stopped_its_units_and_went_is_not_waited_for(node, front, state):
    async with node("node2", known=front(state), lost=True) as n:
        assert n.order == DECODE_STOPPED


async def test_a_node_that_was_never_asked_is_followed_and_given_a_moment_to_answer(node, front):
    async with node("node2") as n:
        assert set(n.peers.peers) == {"node0"}
        await n.hear(front("STOPPING"))
        await n.later(ending_module.ANNOUNCE_S * 1.5)
        assert n.order == []
        await n.hear(front("STOPPED"))
        await n.ended


async def test_a_node_that_never_answers_is_waited_for_only_a_moment(node):
    async with node("node2") as n:
        await n.later(ending_module.ANNOUNCE_S * 0.9)
        assert n.order == []
        await n.later(ending_module.ANNOUNCE_S * 0.2)
        assert n.order == DECODE_STOPPED


async def test_time_that_passes_is_noticed_without_any_other_event(node, front, monkeypatch):
    monkeypatch.setattr(ending_module, "ANNOUNCE_S", 0.01)
    monkeypatch.setattr(ending_module, "LOOK_S", 0.01)
    async with node("node2", known=front("RUNNING", ending=None)) as n:
        await n.ended


async def test_hurry_stops_everything_at_once_with_a_short_deadline(node):
    async with node("node0", stubborn=["nginx", "router-0", "prefill-0", "etcd"]) as n:
        assert n.order == ["nginx STOPPING"]
        n.ending.hurry()
        hurried = events.Stop(ending_module.HURRY_S, "the node is ending")
        assert {told[-1] for told in n.units.told.values()} == {hurried}
        await settle()
        for unit in n.units.runners:
            await n.units.end(unit)
        await n.ended


async def test_hurry_before_the_end_has_begun_is_no_defect(node):
    async with node("node0", begin=False) as n:
        n.ending.hurry()
        await n.ending.end()
    hurried = events.Stop(ending_module.HURRY_S, "the node is ending")
    assert {tuple(told) for told in n.units.told.values()} == {(START, hurried)}
