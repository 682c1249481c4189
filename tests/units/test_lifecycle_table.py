"""The whole table of states and events: what must hold for every pair, in every context."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from pdsup.plan.model import Restart as Policy
from pdsup.units import events, states
from pdsup.units.events import (
    BecameReady,
    Drain,
    Drained,
    Exited,
    FoundDead,
    GateChanged,
    Kill,
    Lingering,
    LostReadiness,
    Progressed,
    Recycle,
    Restart,
    Spawn,
    SpawnFailed,
    Start,
    Stop,
    Terminate,
    Tick,
)
from pdsup.units.lifecycle import Context, step
from pdsup.units.process.exit import ExitStatus
from pdsup.units.public_state import REPORTED
from pdsup.units.states import (
    Backoff,
    Draining,
    Ended,
    Fatal,
    Running,
    Starting,
    Stopped,
    Stopping,
    Then,
    Unhealthy,
    Waiting,
    deadline,
    public,
    reason_of,
    run_of,
)

GOOD, BAD = ExitStatus(0), ExitStatus(1)
STATES = [
    Stopped(),
    Waiting((0.0,), "waits for a"),
    Waiting((0.0,), "port 1 is held", 5.0),
    Starting(1, 5.0, (0.0,)),
    Running(1, 0.0, (0.0,)),
    Unhealthy(1, 0.0, (0.0,), "x"),
    *(Stopping(1, 5.0, then, (0.0,), "x", kills) for then in Then for kills in (0, 1)),
    *(Draining(1, 5.0, then, (0.0,), "x") for then in (Then.REST, Then.RESTART)),
    Backoff(5.0, (0.0,), "x"),
    Ended(BAD),
    Fatal((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), "x"),
]
EVENTS = [
    Start(),
    Stop(),
    Stop(within=1.0),
    Restart(),
    Tick(),
    GateChanged(),
    SpawnFailed(1, "e"),
    Lingering(1, "pid 7"),
    Exited(1, GOOD),
    Exited(1, BAD),
    BecameReady(1),
    LostReadiness(1, "d"),
    Exited(1, BAD, "no such model", hopeless=True),
    Progressed(1),
    FoundDead(1, "d"),
    Recycle(1, "d"),
    Drained(1),
]
CONTEXTS = [
    Context(
        now=now,
        next_run=9,
        gate=gate,
        restart=Policy(policy=policy, fatal_codes=(1,) if final else ()),
        ready_within=900.0,
        stop_within=15.0,
        unclean=unclean,
        drain_within=drain,
    )
    for now in (0.0, 5.0, 1000.0)
    for gate in (None, "closed")
    for unclean in (None, "held")
    for policy in ("always", "on-failure", "never")
    for final, drain in ((False, 0.0), (True, 10.0))
]
PAIRS = list(itertools.product(STATES, EVENTS))


def possible(state: states.State, event: events.Event) -> bool:
    """A run that became ready was spawned, so its spawn can't have been refused."""
    return not (
        isinstance(state, Running | Unhealthy | Draining) and isinstance(event, SpawnFailed)
    )


def test_the_table_covers_every_state_and_event() -> None:
    assert {type(state) for state in STATES} == set(get_args(states.State))
    assert {type(event) for event in EVENTS} == set(get_args(events.Event))
    assert {public(state) for state in STATES} == set(REPORTED)


@pytest.mark.parametrize(
    ("state", "event"), [pair for pair in PAIRS if not possible(*pair)], ids=repr
)
def test_a_pair_that_can_not_happen_is_refused_loudly(
    state: states.State, event: events.Event
) -> None:
    with pytest.raises(AssertionError):
        step(state, event, CONTEXTS[0])


@pytest.mark.parametrize(("state", "event"), [pair for pair in PAIRS if possible(*pair)], ids=repr)
def test_every_pair_is_decided_and_keeps_the_rules(
    state: states.State, event: events.Event
) -> None:
    for context in CONTEXTS:
        state_after, effects = step(state, event, context)
        check_spawns(state, event, context, state_after, effects)
        check_signals(state, state_after, effects)
        check_run_is_kept(state, event, state_after, effects)
        check_wish(event, state_after)
        check_time(state, event, context, state_after, effects)
        assert public(state_after)
        assert reason_of(state_after) or isinstance(state_after, Stopped | Starting | Running)


def check_spawns(state, event, context, state_after, effects) -> None:
    """Only on a clean node with an open gate, only when no run is left, and the state knows it."""
    spawned = [effect.run for effect in effects if isinstance(effect, Spawn)]
    if spawned:
        assert spawned == [context.next_run] == [run_of(state_after)]
        assert isinstance(state_after, Starting)
        assert context.gate is None
        assert context.unclean is None
        assert run_of(state) is None or isinstance(event, Exited | SpawnFailed)
    elif run_of(state) is None:
        assert run_of(state_after) is None


def check_signals(state, state_after, effects) -> None:
    """They go to the run there is, which the state keeps until it is gone."""
    for effect in effects:
        if isinstance(effect, Terminate | Kill | Drain):
            assert effect.run == run_of(state) == run_of(state_after)


def check_run_is_kept(state, event, state_after, effects) -> None:
    """A run leaves the state only when it is proven gone; a signal or a probe does not end it."""
    if run_of(state) is not None and not isinstance(event, Exited | SpawnFailed):
        assert run_of(state_after) == run_of(state)
    if isinstance(event, Exited | SpawnFailed) and run_of(state) is not None:
        assert run_of(state_after) is None or any(isinstance(effect, Spawn) for effect in effects)


def check_wish(event, state_after) -> None:
    if isinstance(event, Stop):
        down = isinstance(state_after, Stopped | Ended)
        ending = isinstance(state_after, Stopping | Draining)
        assert down or (ending and state_after.then is Then.REST)
    if isinstance(event, Start | Restart):
        assert not isinstance(state_after, Stopped | Ended | Fatal | Backoff)
        ending = isinstance(state_after, Stopping | Draining)
        assert not (ending and state_after.then is Then.REST)


def check_time(state, event, context, state_after, effects) -> None:
    """An early tick does nothing; one that is due leaves no deadline that is due."""
    if isinstance(event, Tick) and context.now < deadline(state):
        assert (state_after, effects) == (state, ())
    if isinstance(event, Tick):
        assert deadline(state_after) > context.now
