"""What is known of a unit, and what changed: immutable values that travel to the agent. Pure."""

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
    """What is known of a unit right now. ``since`` is wall time, ``started`` monotonic seconds.

    ``log_problem``: why what it writes does not get to its log, or nothing.
    """

    state: states.State
    pid: int | None
    run: int
    since: float
    started: float | None
    detail: str
    last_exit: LastExit | None
    log_problem: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of a unit that changed its state: what happened, where it led, and on what grounds.

    ``lifecycle.step(before, event, context)`` is ``after`` again.
    """

    unit: str
    event: events.Event
    before: states.State
    after: states.State
    context: lifecycle.Context
