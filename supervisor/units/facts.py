"""What is known of a unit, and what changed: immutable values that travel to the agent."""

from __future__ import annotations

from dataclasses import dataclass

from supervisor.units import lifecycle, states
from supervisor.units.states import ExitStatus

# A place in a file: its device, its inode, and how many bytes are before it.
Place = tuple[int, int, int]


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
    event: lifecycle.Event
    before: states.State
    after: states.State
    context: lifecycle.Context
