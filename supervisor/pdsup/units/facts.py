"""What is known about a unit, and what changed: immutable values for the agent around it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pdsup.units import events, lifecycle, states
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.tree import Identity


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
class Line:
    """A line of the journal, with its line feed; ``text`` is ASCII.

    ``moment``: when it happened, in monotonic seconds, and ``wall`` in seconds since the epoch.
    ``late``: an earlier agent may have written it already.
    """

    text: str
    moment: float
    wall: float
    late: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """One step that changed a unit's state, with everything the decision depended on.

    ``lifecycle.step(before, event, context)`` gives ``after`` again. ``detail``: what was known
    beyond the state ``before``, such as why the unit was not ready yet.
    """

    unit: str
    event: events.Event
    before: states.State
    after: states.State
    context: lifecycle.Context
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is known about one unit at one moment.

    ``since``: when the state began, wall seconds; ``spawned``: when the run started, monotonic
    seconds. ``main``: its main process, None while that is not known; ``tag``: the tag on all
    processes of the run, noted before there is one. ``log``: where the run's output begins.
    ``ended``: the main process has ended, its tree maybe not. ``was_ready``: it has been RUNNING in
    some run. ``fingerprint``: of the planned unit that the run was started from
    (``plan/difference.py``); "": unknown. ``epoch``: the gang epoch in which the run was started.
    ``before``: see ``Facts``. ``ports``: those of the run; empty: unknown. ``line``: the journal's
    about the step that led to the state, None if the note is not about a step.
    """

    unit: str
    state: states.State
    run: int
    since: float
    spawned: float | None
    main: Identity | None
    tag: int | None
    log: tuple[int, int, int] | None
    ended: bool
    was_ready: bool
    last_exit: LastExit | None
    fingerprint: str = ""
    epoch: int | None = None
    before: int = 0
    ports: Mapping[str, int] = field(default_factory=dict)
    line: Line | None = None

    @property
    def facts(self) -> Facts:
        """What an agent that takes over the unit knows about it."""
        alive = self.main is not None and not self.ended
        return Facts(
            state=self.state,
            pid=self.main[0] if self.main and alive else None,
            run=self.run,
            since=self.since,
            started=self.spawned if alive else None,
            detail="",
            last_exit=self.last_exit,
            before=self.before,
        )
