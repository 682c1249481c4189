"""Counts of what happened to the units of a node, for its metrics. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pdsup.units import states
from pdsup.units.facts import Transition
from pdsup.units.public_state import PublicState
from pdsup.units.states import State


class Counters:
    """Counts since the agent started. Times are monotonic seconds."""

    def __init__(self, units: Mapping[str, State], now: float) -> None:
        """``units``: their states at ``now``, which may be those that an earlier agent left."""
        self._state = {unit: (states.public(state), now) for unit, state in units.items()}
        self._entered: dict[Counted, int] = {}
        self._seconds: dict[Counted, float] = {}

    def take(self, transition: Transition) -> None:
        """Counts one transition of a unit."""
        unit, now = transition.unit, transition.context.now
        before, since = self._state[unit]
        self._add_time(unit, before, now - since)
        after = states.public(transition.after)
        if after != before:
            self._entered[unit, after] = self._entered.get((unit, after), 0) + 1
        self._state[unit] = after, now

    def counts(self, now: float) -> Counts:
        """All counts up to ``now``."""
        for unit, (state, since) in self._state.items():
            self._add_time(unit, state, now - since)
            self._state[unit] = state, now
        return Counts(dict(self._entered), dict(self._seconds))

    def has_been(self, state: PublicState) -> bool:
        """Whether any unit is in this state or has been."""
        now = {present for present, _ in self._state.values()}
        return state in now or any(past == state for _, past in self._seconds)

    def _add_time(self, unit: str, state: PublicState, seconds: float) -> None:
        self._seconds[unit, state] = self._seconds.get((unit, state), 0.0) + max(0.0, seconds)


Counted = tuple[str, PublicState]  # a unit and a public state


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each unit entered a state since the agent started, and its seconds in it."""

    entered: Mapping[Counted, int]
    seconds: Mapping[Counted, float]
