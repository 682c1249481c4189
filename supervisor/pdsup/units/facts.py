"""What is known about a unit, and what changed: immutable values for the agent around it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pdsup.units import events, lifecycle, states
from pdsup.units.process.exit import ExitStatus


@dataclass(frozen=True, slots=True)
class LastExit:
    """How the previous run ended, and when (seconds since the epoch)."""

    status: ExitStatus
    at: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a unit now. ``since`` is wall time, ``started`` monotonic seconds.

    ``before``: the number of the last run that the journal has of agents about which nothing else
    is known, as after a reboot; this one counts on from there.
    ``log_problem``: why its output does not reach its log; empty when it does.
    """

    state: states.State
    pid: int | None
    run: int
    since: float
    started: float | None
    detail: str
    last_exit: LastExit | None
    log_problem: str = ""
    before: int = 0

    @property
    def never_ran(self) -> bool:
        """Whether no run of it has begun, as far as more than its number is known."""
        return self.run == self.before

    @property
    def restarts(self) -> int:
        """How many runs have followed the first one."""
        return max(0, self.run - self.before - 1)


@dataclass(frozen=True, slots=True)
class Transition:
    """One step that changed a unit's state, with everything the decision depended on.

    ``lifecycle.step(before, event, context)`` gives ``after`` again.
    """

    unit: str
    event: events.Event
    before: states.State
    after: states.State
    context: lifecycle.Context
