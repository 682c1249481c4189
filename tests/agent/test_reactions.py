"""Who reacts to news, and in which order."""

import asyncio
from types import SimpleNamespace

import pytest

from pdsup.agent.reactions import PeerNews, Reactions, WaitingUnits
from pdsup.bell import Bell
from pdsup.cluster.report import Peer
from pdsup.units import events, states


@pytest.fixture
async def reacting():
    """Two parts that note when they react, and ``due``; the first can be made to do more."""
    due, order = asyncio.Event(), []
    parts = (lambda: order.append("first"), lambda: order.append("second"))
    task = asyncio.create_task(Reactions(due, parts).run())
    yield SimpleNamespace(due=due, order=order)
    task.cancel()


async def a_turn():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_parts_react_in_their_order_and_only_when_something_happened(reacting):
    await a_turn()
    assert reacting.order == []
    reacting.due.set()
    await a_turn()
    assert reacting.order == ["first", "second"]


async def test_all_that_happens_in_one_turn_of_the_loop_is_one_reaction(reacting):
    for _ in range(5):
        reacting.due.set()
    await a_turn()
    assert reacting.order == ["first", "second"]
    reacting.due.set()
    await a_turn()
    assert reacting.order == ["first", "second"] * 2


async def test_the_front_has_reacted_before_anybody_can_read_news_of_a_peer(plan):
    """Else nginx would be shown as ready with a list that lacks a router that is shown as ready."""
    order, bell, due = [], Bell(), asyncio.Event()
    gates = SimpleNamespace(forget=lambda units: order.append(sorted(units)))
    peers = SimpleNamespace(peers={"node2": Peer("node2")})
    news = PeerNews(
        plan, peers, gates, [lambda: order.append("front")],
        [lambda peer: order.append(peer.node)], bell, due,
    )  # fmt: skip
    woken = asyncio.create_task(bell.wait_until(lambda: news.count > 0, 10))
    await a_turn()
    news.changed("node2")
    assert order == [["decode-0"], "front", "node2"]
    assert (await woken, news.count, due.is_set()) == (True, 1, True)


async def test_only_units_that_wait_look_at_their_gates_again():
    def runner(state, run):
        told = []
        return SimpleNamespace(
            facts=SimpleNamespace(state=state, run=run), told=told, tell=told.append
        )

    asked = []
    runners = {
        "new": runner(states.Waiting((), "waits"), 0),
        "again": runner(states.Waiting((), "waits"), 3),
        "up": runner(states.Running(1, 0.0, ()), 1),
    }
    WaitingUnits(runners, SimpleNamespace(inquire=asked.extend)).react()
    assert asked == [("new", True), ("again", False)]
    told = {name: one.told for name, one in runners.items()}
    assert told == {"new": [events.GateChanged()], "again": [events.GateChanged()], "up": []}
