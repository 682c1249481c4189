"""Who reacts to news, and in which order."""

import asyncio
from types import SimpleNamespace

import pytest

from pdsup.agent.reactions import PeerNews, Reactions, WaitingUnits
from pdsup.bell import Bell
from pdsup.cluster.gate import Gates
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from pdsup.units import events
from tests.bed.hosts import FakeNode, LoudDefects, settle
from tests.bed.network import TOKEN, FakeNetwork


@pytest.fixture
async def reacting():
    """Two parts that note when they react, and ``due``; the first can be made to do more."""
    due, order = asyncio.Event(), []
    parts = (lambda: order.append("first"), lambda: order.append("second"))
    task = asyncio.create_task(Reactions(due, parts, LoudDefects()).run())
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


@pytest.fixture
async def tasks():
    async with asyncio.TaskGroup() as made:
        yield made


@pytest.fixture
async def knows(plan, digest, assignment, tasks):
    """What node0 knows of others: real peers and gates."""
    own, network = assignment("node0"), FakeNetwork(plan)
    peers = Peers(plan, digest, (), TOKEN, network, tasks)
    gates = Gates(own, OwnReport(own, Bell()), peers, tasks, lambda: None)
    yield SimpleNamespace(network=network, peers=peers, gates=gates)
    await gates.close()
    await peers.close()


async def test_the_front_has_reacted_before_anybody_can_read_news_of_a_peer(
    plan, report, knows, monkeypatch
):
    """Else nginx would be shown as ready with a list that lacks a router that is shown as ready."""
    order, bell, due = [], Bell(), asyncio.Event()
    monkeypatch.setattr(knows.gates, "forget", lambda units: order.append(sorted(units)))
    news = PeerNews(
        plan, knows.peers, knows.gates, [lambda: order.append("front")],
        [lambda peer: order.append(peer.node)], bell, due, LoudDefects(),
    )  # fmt: skip
    knows.peers.listen(news.changed)
    woken = asyncio.create_task(bell.wait_until(lambda: news.count > 0, 10))
    knows.peers.follow(["node2"])
    await knows.network.publish(report("node2", units=("decode-0",)))
    await settle()
    assert order == [["decode-0"], "front", "node2"]
    assert (await woken, news.count, due.is_set()) == (True, 1, True)


@pytest.fixture
async def bed(assignment, tasks, tmp_path):
    """The units of node0, none of them started."""
    made = FakeNode(assignment("node0").units, tasks, tmp_path)
    made.serve()
    yield made
    await made.close()


async def test_only_units_that_wait_look_at_their_gates_again(knows, bed, monkeypatch):
    asked = []
    monkeypatch.setattr(knows.gates, "inquire", asked.extend)
    names = ("etcd", "router-0", "prefill-0")
    await bed.up("etcd", "prefill-0")
    bed.around.gates["router-0"] = "waits"
    await bed.up("router-0")
    await bed.reach("etcd", "WAITING")
    for told in bed.told.values():
        told.clear()
    WaitingUnits({name: bed.runners[name] for name in names}, knows.gates).react()
    assert asked == [("etcd", False), ("router-0", True)]
    looks = [events.GateChanged()]
    assert [bed.told[name] for name in names] == [looks, looks, []]
