"""The order in which units end, on one node and across nodes, against units that obey on demand.

Of the plan in ``cluster``: nginx and router-0 are on node0 with prefill-0 and etcd; decode-1 is on
node3 with the benchmark that needs it. The router needs all workers.
"""

import asyncio
import contextlib
import dataclasses
from types import SimpleNamespace

import pytest

from pdsup import clock
from pdsup.bell import Bell
from pdsup.cluster import ending as ending_module
from pdsup.cluster.ending import Ending
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import Peer
from pdsup.units import events

LIMIT_S = 60.0
RESTING = ("STOPPED", "EXITED", "FATAL")


class FakeRunner:
    """A unit that is RUNNING until it is told to stop, and STOPPED as soon as it may."""

    def __init__(self, name, show, stops):
        self.name, self.show, self.stops = name, show, stops
        self.told = []
        self.become("RUNNING")

    def become(self, state):
        self.state = state
        self.show(self.name, state)

    def tell(self, event):
        assert isinstance(event, events.Stop)
        self.told.append(event.within)
        if self.state in ("WAITING", "BACKOFF"):
            self.become("STOPPED")
        elif self.state not in RESTING:
            self.become("STOPPING")
            if self.stops:
                asyncio.get_running_loop().call_soon(self.become, "STOPPED")


class FakePoller:
    """Peers as the test sets them."""

    def __init__(self):
        self.peers = {}
        self.followed = set()

    def follow(self, nodes):
        self.followed |= set(nodes)
        for node in nodes:
            self.peers.setdefault(node, Peer(node))


@pytest.fixture
def node(plan, assignment, unit_report, monkeypatch):
    """One node that ends: ``order`` is what stopped there, and when it was told to."""
    passed, real = [0.0], clock.monotonic
    monkeypatch.setattr(clock, "monotonic", lambda: real() + passed[0])

    @contextlib.asynccontextmanager
    async def made(name, *, stubborn=(), peers=(), plan=plan, begin=True):
        bell = Bell()
        publisher = OwnReport(assignment(name, plan), bell)
        order = []

        def show(unit, state):
            publisher.publish(unit_report(unit, state))
            if state in ("STOPPING", "STOPPED"):
                order.append(f"{unit} {state}")

        runners = {
            unit.name: FakeRunner(unit.name, show, unit.name not in stubborn)
            for unit in plan.units
            if unit.node == name
        }
        poller = FakePoller()
        poller.peers |= {peer.node: peer for peer in peers}
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            ending = Ending(plan, runners, publisher, poller, bell)

            async def settle():
                bell.ring()
                for _ in range(10):
                    await asyncio.sleep(0)

            async def hear(peer):
                poller.peers[peer.node] = peer
                await settle()

            async def later(seconds):
                passed[0] += seconds
                await settle()

            given = SimpleNamespace(
                ending=ending, runners=runners, order=order, poller=poller, hear=hear, later=later,
                settle=settle,
            )  # fmt: skip
            if begin:
                given.ended = tasks.create_task(ending.end())
                await settle()
            yield given

    return made


@pytest.fixture
def front(report, unit_report):
    """What node0 says of its router while it ends (or not)."""

    def says(state, ending="SIGTERM", **changes):
        units = tuple(
            unit_report(name, state if name == "router-0" else "RUNNING")
            for name in ("prefill-0", "etcd", "router-0", "nginx")
        )
        made = dataclasses.replace(report("node0", ending=ending), units=units)
        return Peer("node0", made, **{"received": 1.0, "heard": 1.0, "problem": None, **changes})

    return says


DECODE_STOPPED = ["decode-0 STOPPING", "decode-0 STOPPED"]


async def test_what_is_in_front_stops_first_and_is_gone_before_the_next(node):
    async with node("node0") as n:
        await n.ended
    assert n.order[:4] == [
        "nginx STOPPING", "nginx STOPPED", "router-0 STOPPING", "router-0 STOPPED",
    ]  # fmt: skip
    assert set(n.order[4:6]) == {"prefill-0 STOPPING", "etcd STOPPING"}
    assert all(len(runner.told) == 1 for runner in n.runners.values())


async def test_a_unit_in_front_that_takes_its_time_is_waited_for(node):
    async with node("node0", stubborn=["nginx"]) as n:
        await n.later(1.9)
        assert n.order == ["nginx STOPPING"]
        n.runners["nginx"].become("STOPPED")
        await n.ended


async def test_a_unit_in_front_that_does_not_stop_in_its_time_is_waited_for_no_longer(node):
    async with node("node0", stubborn=["nginx"]) as n:
        await n.later(2.1)
        assert n.order == ["nginx STOPPING", "router-0 STOPPING", "router-0 STOPPED",
                           "prefill-0 STOPPING", "etcd STOPPING", "prefill-0 STOPPED",
                           "etcd STOPPED"]  # fmt: skip
        assert not n.ended.done()
        n.runners["nginx"].become("STOPPED")
        await n.ended


async def test_the_end_comes_only_when_every_unit_has_stopped(node):
    async with node("node0", stubborn=["etcd"]) as n:
        await n.later(1000)
        assert "prefill-0 STOPPED" in n.order
        assert not n.ended.done()
        n.runners["etcd"].become("STOPPED")
        await n.ended


@pytest.mark.parametrize("state", RESTING)
async def test_a_unit_that_rests_already_is_in_nobodys_way(node, state):
    async with node("node0", begin=False, stubborn=["nginx"]) as n:
        n.runners["nginx"].become(state)
        await n.ending.end()
    assert "router-0 STOPPED" in n.order


@pytest.mark.parametrize("state", ["WAITING", "BACKOFF"])
async def test_a_unit_that_may_still_start_is_stopped_too(node, state):
    async with node("node0", begin=False) as n:
        n.runners["router-0"].become(state)
        await n.ending.end()
    assert n.runners["router-0"].told


async def test_a_node_without_units_ends_at_once(node, plan):
    async with node("node2", plan=dataclasses.replace(plan, units=())) as n:
        assert n.ended.done()


async def test_a_worker_waits_for_a_router_elsewhere_that_ends(node, front):
    async with node("node2", peers=[front("RUNNING")]) as n:
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
    async with node("node2", peers=[front("STOPPING")]) as n:
        await n.later(6.9)
        assert n.order == []
        await n.later(0.2)  # router 5 s and, before it, nginx 2 s
        assert n.order == DECODE_STOPPED


async def test_a_router_on_a_node_that_goes_on_is_waited_for_only_a_moment(node, front):
    async with node("node2", peers=[front("RUNNING", ending=None)]) as n:
        await n.later(ending_module.ANNOUNCE_S * 0.9)
        assert n.order == []
        await n.later(ending_module.ANNOUNCE_S * 0.2)
        assert n.order == DECODE_STOPPED


async def test_a_node_that_says_in_time_that_it_ends_is_waited_for(node, front):
    async with node("node2", peers=[front("RUNNING", ending=None)]) as n:
        await n.later(ending_module.ANNOUNCE_S * 0.9)
        await n.hear(front("RUNNING"))
        await n.later(ending_module.ANNOUNCE_S)
        assert n.order == []
        await n.hear(front("STOPPED"))
        await n.ended


async def test_a_node_that_can_not_be_reached_is_waited_for_only_a_moment(node, front):
    async with node("node2", peers=[front("RUNNING", problem="connection refused")]) as n:
        await n.later(ending_module.ANNOUNCE_S * 0.9)
        assert n.order == []
        await n.later(ending_module.ANNOUNCE_S * 0.2)
        assert n.order == DECODE_STOPPED


@pytest.mark.parametrize("state", RESTING)
async def test_a_node_that_stopped_its_units_and_went_is_not_waited_for(node, front, state):
    async with node("node2", peers=[front(state, problem="connection refused")]) as n:
        assert n.order == DECODE_STOPPED


async def test_a_node_that_was_never_asked_is_followed_and_given_a_moment_to_answer(node, front):
    async with node("node2") as n:
        assert n.poller.followed == {"node0"}
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
    async with node("node2", peers=[front("RUNNING", ending=None)]) as n:
        await n.ended


async def test_hurry_stops_everything_at_once_with_a_short_deadline(node):
    async with node("node0", stubborn=["nginx", "router-0", "prefill-0", "etcd"]) as n:
        assert n.order == ["nginx STOPPING"]
        n.ending.hurry()
        assert {runner.told[-1] for runner in n.runners.values()} == {ending_module.HURRY_S}
        for runner in n.runners.values():
            runner.become("STOPPED")
        await n.ended


async def test_hurry_before_the_end_has_begun_is_no_defect(node):
    async with node("node0", begin=False) as n:
        n.ending.hurry()
        await n.ending.end()
    assert all(len(runner.told) == 1 for runner in n.runners.values())
