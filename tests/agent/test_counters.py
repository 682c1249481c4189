"""What is counted of the units of a node."""

from types import SimpleNamespace

import pytest

from pdsup.agent.counters import Counters
from pdsup.plan.model import Restart
from pdsup.units import events, lifecycle
from pdsup.units.facts import Transition
from pdsup.units.public_state import PublicState
from pdsup.units.states import Backoff, Fatal, Running, Starting, Stopped, Waiting

STARTING = Starting(1, 99.0, ())


@pytest.fixture
def counter():
    """Of two units from second 10 on; ``counts(now)`` and ``step(state, now)`` move the time."""
    made = Counters({"a": Stopped(), "b": Stopped()}, 10.0)

    def step(state, now, unit="a"):
        context = lifecycle.Context(
            now=now, next_run=1, gate=None, restart=Restart(), ready_within=1.0, stop_within=1.0
        )
        made.take(Transition(unit, events.Tick(), Stopped(), state, context))

    return SimpleNamespace(step=step, counts=made.counts, has_been=made.has_been)


def test_time_is_counted_for_the_state_in_which_it_passed(counter):
    counter.step(Waiting((), "gate"), 12.0)
    counter.step(STARTING, 15.0)
    found = counter.counts(20.0)
    assert found.seconds == {("a", "STOPPED"): 2.0, ("a", "WAITING"): 3.0, ("a", "STARTING"): 5.0,
                             ("b", "STOPPED"): 10.0}  # fmt: skip


def test_time_is_counted_once_however_often_it_is_asked_for(counter):
    counter.counts(15.0)
    assert counter.counts(20.0).seconds["a", "STOPPED"] == 10.0


def test_coming_to_a_state_counts_and_staying_in_it_does_not(counter):
    for state, now in [(Waiting((), "x"), 11.0), (Waiting((), "y"), 12.0), (STARTING, 13.0),
                       (Backoff(20.0, (), "z"), 14.0), (STARTING, 20.0)]:  # fmt: skip
        counter.step(state, now)
    assert counter.counts(21.0).entered == {
        ("a", "WAITING"): 1, ("a", "STARTING"): 2, ("a", "BACKOFF"): 1,
    }  # fmt: skip


def test_a_clock_that_stands_still_takes_nothing_away(counter):
    counter.step(Running(1, 5.0, ()), 5.0)
    counter.step(Stopped(), 4.0)
    assert min(counter.counts(3.0).seconds.values()) >= 0


def test_a_unit_that_was_taken_over_begins_in_the_state_it_is_in():
    made = Counters({"a": Running(1, 0.0, ())}, 10.0)
    assert made.counts(12.0).seconds == {("a", "RUNNING"): 2.0}


def test_a_state_that_a_unit_left_or_began_in_is_not_forgotten(counter):
    assert counter.has_been(PublicState.STOPPED)
    assert not counter.has_been(PublicState.FATAL)
    counter.step(Fatal((), "gave up"), 11.0)
    assert counter.has_been(PublicState.FATAL)
    counter.step(STARTING, 12.0)
    assert counter.has_been(PublicState.FATAL)
    taken_over = Counters({"a": Fatal((), "gave up")}, 10.0)
    assert taken_over.has_been(PublicState.FATAL)
