"""Counts what happens to the units of a node, for those who scrape it now and then."""

from __future__ import annotations

from collections.abc import Mapping

from supervisor import clock
from supervisor.agent.counts import Counted, Counts
from supervisor.units import states
from supervisor.units.facts import Transition
from supervisor.units.states import State


class Counter:
    """Of ``units`` with the states that they are in at ``now`` (monotonic seconds): an agent may
    have taken them over.
    """

    def __init__(self, units: Mapping[str, State], now: float) -> None:
        self._state = {unit: (str(states.public(state)), now) for unit, state in units.items()}
        self._entered: dict[Counted, int] = {}
        self._seconds: dict[Counted, float] = {}

    def take(self, transition: Transition) -> None:
        """Counts one step of a unit."""
        unit, now = transition.unit, transition.context.now
        before, since = self._state[unit]
        self._spent(unit, before, now - since)
        after = states.public(transition.after)
        if after != before:
            self._entered[unit, after] = self._entered.get((unit, after), 0) + 1
        self._state[unit] = after, now

    def counts(self) -> Counts:
        """All of it up to now."""
        now = clock.monotonic()
        for unit, (state, since) in self._state.items():
            self._spent(unit, state, now - since)
            self._state[unit] = state, now
        return Counts(dict(self._entered), dict(self._seconds))

    def _spent(self, unit: str, state: str, seconds: float) -> None:
        self._seconds[unit, state] = self._seconds.get((unit, state), 0.0) + max(0.0, seconds)
