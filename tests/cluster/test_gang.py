"""What an agent does for its ranks, with units whose states the test sets."""

import dataclasses
from types import SimpleNamespace

import pytest

from pdsup import clock
from pdsup.cluster import gang_rules
from pdsup.cluster.gang import Gangs
from pdsup.cluster.report import Order, Standing
from pdsup.plan.model import Node, Plan, PlanUnit
from pdsup.units import events, states
from tests.cluster.gang_world import report


class FakeRunner:
    def __init__(self):
        self.told = []
        self.epoch = None
        self.become(states.Stopped())

    def become(self, state):
        self.facts = SimpleNamespace(state=state)

    def tell(self, event):
        self.told.append(event)


WAITING = states.Waiting((), "waits")
RUNNING = states.Running(1, 0.0, ())


@pytest.fixture
def node():
    """One node of a gang of two; ``hear`` is what the other one reports."""

    def made(rank, epoch=None):
        unit = f"w.{rank}"
        plan = Plan(
            plan=1, name="p", nodes=tuple(Node(name=f"n{i}", address=f"n{i}") for i in range(2)),
            units=tuple(
                PlanUnit(
                    name=f"w.{i}", kind="worker", node=f"n{i}", rank=i, gang="w", command=("x",)
                )
                for i in range(2)
            ),
        )  # fmt: skip
        runner, peers, gates = FakeRunner(), {}, {}

        def describe(_):
            return report(rank, None, state=states.public(runner.facts.state))

        gangs = Gangs(plan, {unit: runner}, peers.get, gates.get, describe)
        runner.epoch = epoch
        state = {"WAITING": WAITING, "RUNNING": RUNNING}

        def become(new):
            if new == RUNNING and epoch is None:
                runner.epoch = gangs.epoch(unit)
            runner.become(new)
            return look()

        def look():
            gangs.react()
            peers[unit] = gangs.stamped(describe(unit))
            return peers[unit]

        def hear(standing=None, order=None):
            peers[f"w.{1 - rank}"] = report(1 - rank, standing, order)
            return look()

        return SimpleNamespace(
            gangs=gangs, runner=runner, become=become, look=look, hear=hear, gates=gates,
            peers=peers, unit=unit, state=state, reason=lambda: gangs.reason(unit), plan=plan,
        )  # fmt: skip

    return made


def standing(**values):
    return Standing(**{**dataclasses.asdict(gang_rules.FRESH), **values})


def order(epoch, go=False):
    return Order(epoch=epoch, go=go, reason="")


READY = standing(cleared=1, poised=True)


def test_the_agent_of_rank_0_lets_all_start_when_the_last_is_ready(node):
    n = node(0)
    said = n.become(WAITING)
    assert (said.order, said.standing) == (order(1), READY)
    assert n.reason() == "waits for w.1 (no report from its node)"
    assert n.hear(READY).order == order(1, go=True)
    assert n.reason() is None


def test_it_orders_nothing_before_it_knows_whether_its_own_rank_lives(node):
    assert node(0).look().order is None


def test_a_rank_says_what_it_waits_for_beside_its_gang_and_is_not_ready_meanwhile(node):
    n = node(1)
    n.gates["w.1"] = "waits for etcd"
    n.hear(READY, order(1))
    assert n.become(WAITING).standing == standing(cleared=1)
    del n.gates["w.1"]
    assert n.look().standing == READY


def test_a_rank_whose_port_is_taken_is_not_ready(node):
    n = node(1)
    n.hear(READY, order(1))
    assert not n.become(states.Waiting((), "port 1 is held", clock.monotonic())).standing.poised


def test_a_rank_waits_for_the_word_of_its_leader_and_says_so(node):
    n = node(1)
    n.become(WAITING)
    assert n.reason() == "waits for w.0 (no report from its node)"
    n.hear(READY, Order(epoch=4, go=False, reason="w.0 is BACKOFF: killed by SIGKILL"))
    assert n.reason() == (
        "waits for w.0 to begin epoch 4 of the gang: w.0 is BACKOFF: killed by SIGKILL"
    )
    n.hear(READY, order(4, go=True))
    assert n.reason() is None


def test_a_rank_of_an_epoch_that_is_over_is_told_to_begin_anew_once(node):
    n = node(1)
    n.become(WAITING)
    n.hear(READY, order(1))
    n.hear(READY, order(1, go=True))
    assert n.become(RUNNING).standing == standing(cleared=1, spent=1, alive=True)
    assert n.runner.told == []
    n.hear(READY, Order(epoch=2, go=False, reason="w.0 is BACKOFF"))
    n.look()
    assert n.runner.told == [events.Recycle(1, "w.0 is BACKOFF")]
    assert n.become(WAITING).standing == standing(cleared=2, spent=1, poised=True)


def started(node, rank):
    """A node whose rank lives in epoch 1."""
    n = node(rank)
    n.become(WAITING)
    for go in (False, True):
        n.hear(READY, None if rank == 0 else order(1, go))
    n.become(RUNNING)
    return n


def test_a_new_agent_above_a_leader_that_lives_goes_on_with_its_epoch(node):
    epoch = started(node, 0).runner.epoch
    n = node(0, epoch)
    n.hear(standing(cleared=1, spent=1, alive=True))
    said = n.become(RUNNING)
    assert (said.order, said.standing.spent) == (order(1, go=True), 1)
    assert n.runner.told == []


def test_a_new_agent_above_a_rank_that_lives_goes_by_the_epoch_of_its_run(node):
    epoch = started(node, 1).runner.epoch
    n = node(1, epoch)
    n.hear(READY, order(1, go=True))
    assert n.become(RUNNING).standing == standing(spent=1, alive=True)
    assert n.runner.told == []


def test_a_rank_that_lives_in_an_epoch_nobody_knows_begins_anew(node):
    n = node(1)
    n.hear(READY, order(1, go=True))
    assert n.become(RUNNING).standing == standing(alive=True)
    assert n.runner.told == [events.Recycle(1, "its gang restarts")]
    assert n.become(WAITING).standing == standing(spent=1, poised=True)  # it missed that one


def test_a_report_that_is_made_changes_nothing(node):
    n = started(node, 1)
    n.hear(READY, Order(epoch=2, go=False, reason="w.0 is BACKOFF"))
    n.runner.told.clear()
    n.peers["w.0"] = report(0, READY, order(3))
    n.runner.become(states.Starting(2, 0.0, ()))
    said = [n.gangs.stamped(report(1, None)) for _ in range(2)]
    assert {(one.standing.cleared, one.standing.spent) for one in said} == {(1, 1)}
    assert n.runner.told == []


def test_a_unit_of_no_gang_is_reported_as_it_is(node):
    n = node(0)
    other = dataclasses.replace(report(0, None), name="single")
    assert n.gangs.stamped(other) == other
    assert (n.gangs.reason("single"), n.gangs.epoch("single")) == (None, None)
    assert n.gangs.units == ("w.0",)
