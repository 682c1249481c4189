"""Gangs: ranks start, fail and start again together, whatever is late, lost or forgotten."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from pdsup.cluster import gang_rules
from pdsup.cluster.report import Order, Standing
from pdsup.plan.model import Node, Plan, PlanUnit
from pdsup.units.public_state import PublicState
from tests.cluster.gang_world import World, report

HOLD = Order(epoch=3, go=False, reason="")
GO = Order(epoch=3, go=True, reason="")


def standing(cleared=0, spent=0, alive=False, poised=False):
    return Standing(cleared=cleared, spent=spent, alive=alive, poised=poised)


READY = standing(cleared=3, spent=2, poised=True)
LIVES = standing(cleared=3, spent=3, alive=True)


def told(*standings):
    return {f"w.{rank}": one and report(rank, one) for rank, one in enumerate(standings)}


# -- the leader -----------------------------------------------------------------------------------


def test_an_epoch_goes_when_every_rank_is_clear_and_ready_to_start():
    assert gang_rules.decide(HOLD, told(READY, READY)) == GO


@pytest.mark.parametrize(
    "other",
    [
        None,
        standing(cleared=2, spent=2, poised=True),
        standing(cleared=2, spent=2, alive=True),
        standing(cleared=3, spent=2, poised=False),
    ],
    ids=["not heard of", "not clear", "alive in an older epoch", "in its backoff"],
)
def test_one_rank_that_is_not_ready_holds_the_others(other):
    assert gang_rules.decide(HOLD, told(READY, other)) == HOLD
    (phrase,) = gang_rules.missing(HOLD, told(READY, other))
    assert phrase.startswith("w.1 (")


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_end_of_any_rank_holds_the_next_epoch_and_says_why(rank):
    standings = [LIVES] * 3
    standings[rank] = standing(cleared=3, spent=3)
    reports = told(*standings)
    died = reports[f"w.{rank}"]
    reports[died.name] = dataclasses.replace(
        died, state=PublicState.BACKOFF, reason="killed by SIGKILL"
    )
    after = gang_rules.decide(GO, reports)
    assert (after.epoch, after.go) == (4, False)
    assert after.reason == f"w.{rank} is BACKOFF: killed by SIGKILL"


def test_a_rank_that_has_not_started_yet_does_not_end_an_epoch():
    assert gang_rules.decide(GO, told(LIVES, READY)) == GO


def test_a_rank_that_can_not_be_reached_does_not_end_an_epoch():
    assert gang_rules.decide(GO, told(LIVES, None)) == GO


def test_a_second_end_in_the_same_epoch_changes_nothing_more():
    over = standing(cleared=3, spent=3)
    once = gang_rules.decide(GO, told(over, LIVES))
    assert gang_rules.decide(once, told(over, over)) == once


@pytest.mark.parametrize("other", [standing(spent=7, alive=True), standing(cleared=8, spent=3)])
def test_a_leader_that_forgot_goes_on_after_the_newest_epoch_that_any_rank_knows(other):
    after = gang_rules.decide(gang_rules.FIRST, told(gang_rules.FRESH, other))
    assert (after.epoch, after.go) == (8, False)
    assert after.reason == "w.1 was on its own: an agent of its gang restarted"


def test_a_leader_whose_own_rank_lives_on_starts_nobody_again():
    assert gang_rules.resumed(LIVES) == GO
    assert gang_rules.decide(gang_rules.resumed(LIVES), told(LIVES, LIVES)) == GO


def test_a_leader_whose_own_rank_is_gone_begins_with_a_hold():
    assert gang_rules.resumed(standing(spent=3)) == gang_rules.FIRST


# -- every rank -----------------------------------------------------------------------------------


def test_a_rank_without_a_process_is_clear_for_what_is_on_hold():
    said = gang_rules.obey(standing(cleared=2, spent=2), HOLD, alive=False, poised=True)
    assert said == READY


def test_a_rank_that_lives_in_an_older_epoch_ends_before_it_is_clear():
    said = gang_rules.obey(standing(cleared=2, spent=2), HOLD, alive=True, poised=False)
    assert gang_rules.must_end(said, HOLD)
    assert said.cleared == 2


def test_a_rank_starts_only_the_epoch_that_it_was_clear_for_and_only_once():
    assert gang_rules.may_start(READY, GO)
    assert not gang_rules.may_start(READY, HOLD)
    assert not gang_rules.may_start(READY, None)
    assert not gang_rules.may_start(standing(cleared=2, spent=2, poised=True), GO)
    assert not gang_rules.may_start(standing(cleared=4, spent=2, poised=True), GO)
    assert not gang_rules.may_start(standing(cleared=3, spent=3), GO)


def test_a_go_without_having_been_clear_is_an_epoch_missed():
    said = gang_rules.obey(gang_rules.FRESH, GO, alive=False, poised=True)
    assert said.spent == 3
    assert gang_rules.decide(GO, told(LIVES, said)).epoch == 4


def test_a_rank_that_comes_back_with_an_old_epoch_ends_its_own():
    old = standing(cleared=2, spent=2, alive=True)
    assert gang_rules.must_end(gang_rules.obey(old, GO, alive=True, poised=False), GO)


def test_without_word_from_the_leader_a_rank_goes_on_and_starts_nothing():
    said = gang_rules.obey(LIVES, None, alive=True, poised=False)
    assert said == LIVES
    assert not gang_rules.must_end(said, None)


def test_an_old_order_takes_nothing_back():
    later = standing(cleared=5, spent=5, alive=True)
    for order in (HOLD, GO):
        assert gang_rules.obey(later, order, alive=True, poised=False) == later
        assert not gang_rules.must_end(later, order)


def test_ranks_of_a_plan_are_in_order_and_units_without_a_gang_are_in_none():
    def unit(name, rank, gang=None):
        return PlanUnit(name=name, kind="worker", node="a", rank=rank, gang=gang, command=("x",))

    plan = Plan(
        plan=1, name="p", nodes=(Node(name="a", address="a"),),
        units=(unit("d.1", 1, "d"), unit("single", 0), unit("d.0", 0, "d"), unit("p.0", 0, "p")),
    )  # fmt: skip
    assert gang_rules.ranks(plan) == {"d": ("d.0", "d.1"), "p": ("p.0",)}


# -- the whole ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_a_gang_starts_together_once(size):
    world = World(size)
    world.settle()
    assert [rank.starts for rank in world.ranks] == [[1]] * size


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_the_death_of_any_rank_starts_all_again_exactly_once(victim):
    world = World(3)
    world.settle()
    world.ranks[victim].die()
    world.settle()
    assert [rank.starts for rank in world.ranks] == [[1, 2]] * 3


def test_an_agent_that_starts_again_above_its_living_rank_restarts_nobody():
    for number in range(3):
        world = World(3)
        world.settle()
        world.forget(number, survives=True)
        world.settle()
        assert [rank.starts for rank in world.ranks] == [[1]] * 3


def test_a_node_that_lost_power_comes_back_and_all_start_again_once():
    for number in range(3):
        world = World(3)
        world.settle()
        world.forget(number, survives=False)
        world.settle()
        assert [rank.starts for rank in world.ranks] == [[1, 2]] * 3


def test_a_rank_behind_a_partition_is_waited_for_and_ends_its_own_when_it_is_back():
    world = World(3)
    world.settle()
    world.ranks[1].die()
    for _ in range(5):
        world.doubt(2)
        for number in (0, 1, 1, 0):
            world.finish(number)
            world.look(number)
            if number:
                world.send(number)
                world.deliver(number, up=True)
                world.deliver(number, up=False)
    assert [rank.living for rank in world.ranks] == [None, None, 1]
    assert gang_rules.missing(world.order, world.heard) == ("w.2 (no report from its node)",)
    world.settle()
    assert [rank.living for rank in world.ranks] == [2, 2, 2]


STEPS = [
    *((name, number) for name in ("die", "look", "finish", "exchange") for number in range(2)),
    *((name, number) for name in ("reboot", "adopt") for number in range(2)),
]


def happen(world, what, number):
    match what:
        case "die" if world.ranks[number].living:
            world.ranks[number].die()
        case "look":
            world.look(number)
        case "finish":
            world.finish(number)
        case "exchange" if number:
            world.send(number)
            world.deliver(number, up=True)
            world.deliver(number, up=False)
        case "reboot":
            world.forget(number, survives=False)
        case "adopt":
            world.forget(number, survives=True)


def test_every_short_sequence_of_events_and_every_prefix_of_it_ends_whole():
    for sequence in itertools.product(STEPS, repeat=3):
        world = World(2)
        world.settle(4)
        for what, number in sequence:  # its prefixes are sequences of their own
            happen(world, what, number)
            assert len(world.epochs()) <= 1, sequence
        world.settle()
        assert world.is_whole(), sequence


def test_reports_that_arrive_again_never_lower_an_epoch_nor_let_one_go():
    """All that a leader heard in a stormy life, and then every prefix of it once more."""
    world, heard = World(2), []
    deaths = [None, 1, 0, 1, 1, 0]
    for victim in deaths:
        if victim is not None:
            world.ranks[victim].die()
        for number in (0, 1) * 6:
            world.look(number)
            world.finish(number)
            if number:
                heard.append(report(1, world.ranks[1].standing))
                happen(world, "exchange", 1)
    assert world.order.epoch == len(deaths)
    for length in range(len(heard) + 1):
        order = world.order
        for old in heard[:length]:
            after = gang_rules.decide(order, {**world.heard, "w.1": old})
            assert after.epoch >= order.epoch
            assert after == order or not after.go
            order = after


class Gangs(RuleBasedStateMachine):
    """Anything may happen, at any time, in any order."""

    @initialize(size=st.integers(2, 4))
    def begin(self, size: int) -> None:
        self.world = World(size)

    def some(self, number: int) -> int:
        return number % len(self.world.ranks)

    def other(self, number: int) -> int:
        return 1 + number % (len(self.world.ranks) - 1)

    @rule(number=st.integers(0, 3))
    def look(self, number: int) -> None:
        self.world.look(self.some(number))

    @rule(number=st.integers(0, 3))
    def finish(self, number: int) -> None:
        self.world.finish(self.some(number))

    @rule(number=st.integers(0, 3))
    def die(self, number: int) -> None:
        if self.world.ranks[self.some(number)].living is not None:
            self.world.ranks[self.some(number)].die()

    @rule(number=st.integers(0, 3))
    def send(self, number: int) -> None:
        self.world.send(self.other(number))

    @rule(number=st.integers(0, 3), up=st.booleans(), at=st.integers(0, 2))
    def deliver(self, number: int, up: bool, at: int) -> None:
        self.world.deliver(self.other(number), up=up, at=at)

    @rule(number=st.integers(0, 3))
    def cut_or_heal(self, number: int) -> None:
        self.world.cut ^= {self.other(number)}

    @rule(number=st.integers(0, 3))
    def doubt(self, number: int) -> None:
        self.world.doubt(self.other(number))

    @rule(number=st.integers(0, 3), survives=st.booleans())
    def forget(self, number: int, survives: bool) -> None:
        self.world.forget(self.some(number), survives=survives)

    @rule()
    def progress(self) -> None:
        self.world.settle(2)

    @invariant()
    def never_two_epochs_at_once(self) -> None:
        if hasattr(self, "world"):
            assert len(self.world.epochs()) <= 1

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.settle()
            assert self.world.is_whole()
            starts = [rank.starts[-1] for rank in self.world.ranks]
            self.world.settle()
            assert [rank.starts[-1] for rank in self.world.ranks] == starts


def test_whatever_happens_two_epochs_never_live_at_once_and_in_the_end_all_live_in_one():
    run_state_machine_as_test(
        Gangs,
        settings=settings(
            max_examples=150,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
