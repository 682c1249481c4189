"""What an agent does for its ranks, with real runners that start nothing."""

import asyncio
import dataclasses

import pytest

from pdsup import clock
from pdsup.cluster import gang_rules
from pdsup.cluster.gang import Gangs
from pdsup.cluster.report import Order, Standing
from pdsup.plan.model import Node, Plan, PlanUnit
from pdsup.units import events, states
from pdsup.units.ledger import read
from tests.bed.hosts import FakeNode, assigned, settle
from tests.cluster.gang_world import report

PLAN = Plan(
    plan=1, name="p", nodes=tuple(Node(name=f"n{i}", address=f"n{i}") for i in range(2)),
    units=tuple(
        PlanUnit(name=f"w.{i}", kind="worker", node=f"n{i}", rank=i, gang="w", command=("x",))
        for i in range(2)
    ),
)  # fmt: skip


class Rank:
    """One rank of a gang of two, a real runner; ``hear`` is what the other one's node reports.
    ``note``: what an earlier agent left of it.
    """

    def __init__(self, rank, tasks, directory, note=None):
        self.unit, self.rank = f"w.{rank}", rank
        units = assigned(PLAN, f"n{rank}", directory).units
        self.bed = FakeNode(units, tasks, directory, lambda *_: self.look())
        self.runner, self.told = self.bed.runners[self.unit], self.bed.told[self.unit]
        if note is not None:
            self.runner.restore(note)
        self.peers, self.gates = {}, {}
        self.gangs = Gangs(PLAN, self.bed.runners, self.peers.get, self.gates.get, self.describe)
        around = self.bed.around
        around.epoch = self.gangs.epoch
        around.gate = lambda unit, first: self.gates.get(unit) or self.reason()

    def describe(self, _):
        return report(self.rank, None, state=self.bed.state(self.unit))

    def look(self):
        self.gangs.react()
        self.peers[self.unit] = self.gangs.stamped(self.describe(self.unit))
        return self.peers[self.unit]

    def hear(self, standing=None, order=None):
        other = 1 - self.rank
        self.peers[f"w.{other}"] = report(other, standing, order)
        return self.look()

    def reason(self):
        return self.gangs.reason(self.unit)

    async def told_to(self, event):
        self.runner.tell(event)
        await settle()
        return self.look()

    async def is_wanted(self):
        """It waits for its gang."""
        said = await self.told_to(events.Start())
        assert self.bed.state(self.unit) == "WAITING"
        return said

    async def starts(self):
        """It finds its gate open."""
        said = await self.told_to(events.GateChanged())
        assert self.bed.state(self.unit) == "RUNNING"
        return said

    def recycled(self):
        return [event for event in self.told if isinstance(event, events.Recycle)]


@pytest.fixture
async def node(tmp_path):
    """One node of a gang of two. One with a ``note`` is taken over by ``serve``."""
    async with asyncio.TaskGroup() as tasks:
        made = []

        def make(rank, note=None):
            made.append(Rank(rank, tasks, tmp_path, note))
            if note is None:
                made[-1].bed.serve()
            return made[-1]

        yield make
        for each in made:
            await each.bed.close()


def standing(**values):
    return Standing(**{**dataclasses.asdict(gang_rules.FRESH), **values})


def order(epoch, go=False):
    return Order(epoch=epoch, go=go, reason="")


READY = standing(cleared=1, poised=True)


async def test_the_agent_of_rank_0_lets_all_start_when_the_last_is_ready(node):
    n = node(0)
    said = await n.is_wanted()
    assert (said.order, said.standing) == (order(1), READY)
    assert n.reason() == "waits for w.1 (no report from its node)"
    assert n.hear(READY).order == order(1, go=True)
    assert n.reason() is None
    assert (await n.starts()).standing == standing(cleared=1, spent=1, alive=True)


async def test_it_orders_nothing_before_it_knows_whether_its_own_rank_lives(node):
    assert node(0).look().order is None


async def test_a_rank_says_what_it_waits_for_beside_its_gang_and_is_not_ready_meanwhile(node):
    n = node(1)
    n.gates["w.1"] = "waits for etcd"
    n.hear(READY, order(1))
    assert (await n.is_wanted()).standing == standing(cleared=1)
    del n.gates["w.1"]
    assert n.look().standing == READY


async def test_a_rank_whose_port_is_taken_is_not_ready(node, tmp_path):
    await node(1).is_wanted()
    held = states.Waiting((), "port 1 is held", clock.monotonic())
    n = node(1, dataclasses.replace(read(tmp_path).notes["w.1"], state=held))
    assert not n.hear(READY, order(1)).standing.poised


async def test_a_rank_waits_for_the_word_of_its_leader_and_says_so(node):
    n = node(1)
    await n.is_wanted()
    assert n.reason() == "waits for w.0 (no report from its node)"
    n.hear(READY, Order(epoch=4, go=False, reason="w.0 is BACKOFF: killed by SIGKILL"))
    assert n.reason() == (
        "waits for w.0 to begin epoch 4 of the gang: w.0 is BACKOFF: killed by SIGKILL"
    )
    n.hear(READY, order(4, go=True))
    assert n.reason() is None
    await n.starts()
    assert n.runner.epoch == 4


async def test_a_rank_of_an_epoch_that_is_over_is_told_to_begin_anew_once(node):
    n = await started(node, 1)
    assert n.look().standing == standing(cleared=1, spent=1, alive=True)
    assert n.recycled() == []
    n.hear(READY, Order(epoch=2, go=False, reason="w.0 is BACKOFF"))
    n.look()
    await settle()
    assert n.recycled() == [events.Recycle(1, "w.0 is BACKOFF")]
    assert n.bed.state("w.1") == "WAITING"
    assert n.look().standing == standing(cleared=2, spent=1, poised=True)


async def started(node, rank):
    """A node whose rank lives in epoch 1."""
    n = node(rank)
    await n.is_wanted()
    for go in (False, True):
        n.hear(READY, None if rank == 0 else order(1, go))
    await n.starts()
    return n


async def test_a_new_agent_above_a_leader_that_lives_goes_on_with_its_epoch(node, tmp_path):
    await started(node, 0)
    n = node(0, read(tmp_path).notes["w.0"])
    said = n.hear(standing(cleared=1, spent=1, alive=True))
    assert (said.order, said.standing.spent) == (order(1, go=True), 1)
    assert n.told == []


async def test_a_new_agent_above_a_rank_that_lives_goes_by_the_epoch_of_its_run(node, tmp_path):
    await started(node, 1)
    n = node(1, read(tmp_path).notes["w.1"])
    assert n.hear(READY, order(1, go=True)).standing == standing(spent=1, alive=True)
    assert n.told == []


async def test_a_rank_that_lives_in_an_epoch_nobody_knows_begins_anew(node, tmp_path):
    await started(node, 1)
    n = node(1, dataclasses.replace(read(tmp_path).notes["w.1"], epoch=None))
    assert n.hear(READY, order(1, go=True)).standing == standing(alive=True)
    assert n.told == [events.Recycle(1, "its gang restarts")]
    n.bed.serve()
    await settle()
    assert n.bed.state("w.1") == "WAITING"
    assert n.look().standing == standing(spent=1, poised=True)  # it missed that one


async def test_a_report_that_is_made_changes_nothing(node):
    n = await started(node, 1)
    n.bed.around.on_change = lambda *_: None
    n.hear(READY, Order(epoch=2, go=False, reason="w.0 is BACKOFF"))
    await settle()
    assert n.bed.state("w.1") == "WAITING"
    n.told.clear()
    n.peers["w.0"] = report(0, READY, order(3))
    said = [n.gangs.stamped(report(1, None)) for _ in range(2)]
    assert {(one.standing.cleared, one.standing.spent) for one in said} == {(1, 1)}
    assert n.told == []


async def test_a_unit_of_no_gang_is_reported_as_it_is(node):
    n = node(0)
    other = dataclasses.replace(report(0, None), name="single")
    assert n.gangs.stamped(other) == other
    assert (n.gangs.reason("single"), n.gangs.epoch("single")) == (None, None)
    assert n.gangs.units == ("w.0",)
