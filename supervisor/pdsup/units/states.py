"""The states of one supervised unit: what each holds, and how a user sees it.

Many inner states, ten public words, one mapping. Who leads where is decided in ``lifecycle``.
A state that holds a run has a process tree that is not yet proven gone. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from pdsup.units.process.exit import ExitStatus
from pdsup.units.public_state import PublicState

# Monotonic seconds of the failures that are not forgiven, the newest last.
Failures = tuple[float, ...]


# A deadline that never comes.
FOREVER = float("inf")


class Then(Enum):
    """What follows once a unit that was asked to end is gone."""

    REST = "rest"  # it is wanted down
    RESTART = "restart"  # it is wanted up afresh: no blame, no delay
    RETRY = "retry"  # it failed us: count it and back off


@dataclass(frozen=True, slots=True)
class Stopped:
    """Wanted down, and no process."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Wanted up, but a gate is closed, or the node is not clean (then there is a time to look)."""

    failures: Failures
    reason: str
    recheck_at: float = FOREVER


@dataclass(frozen=True, slots=True)
class Starting:
    """Spawned; not yet ready. Signs of progress move ``ready_by``, at the most to ``hard_by``."""

    run: int
    ready_by: float
    failures: Failures
    hard_by: float = FOREVER


@dataclass(frozen=True, slots=True)
class Running:
    """Ready since a time; long enough and past failures are forgiven."""

    run: int
    since: float
    failures: Failures


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """Was ready, is not now; left alone, because readiness never restarts anything.

    Also when the main process ended by itself, until the rest of its tree is gone.
    """

    run: int
    since: float
    failures: Failures
    reason: str


@dataclass(frozen=True, slots=True)
class Draining:
    """Is to end, and gets no new work any more; the stop signal follows, at the latest at a time.

    Only a planned end drains: what failed has nothing to lose.
    """

    run: int
    until: float
    then: Then
    failures: Failures
    reason: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """Asked to end; killed at a deadline, ``kills`` times so far.

    ``left`` tells what of the tree outlives the main process.
    """

    run: int
    kill_at: float
    then: Then
    failures: Failures
    reason: str
    kills: int = 0
    left: str = ""


@dataclass(frozen=True, slots=True)
class Backoff:
    """No process; next attempt at a time. ``last_words``: see ``events.Exited``."""

    until: float
    failures: Failures
    reason: str
    last_words: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """Ended by itself, as its restart policy allows."""

    status: ExitStatus


@dataclass(frozen=True, slots=True)
class Fatal:
    """Gave up; an operator's start alone leaves this state. ``last_words``: see ``Backoff``."""

    failures: Failures
    reason: str
    last_words: str = ""


State = (
    Stopped
    | Waiting
    | Starting
    | Running
    | Unhealthy
    | Draining
    | Stopping
    | Backoff
    | Ended
    | Fatal
)


def deadline(state: State) -> float:
    """When the caller must send ``Tick`` (monotonic seconds); ``FOREVER`` means never."""
    match state:
        case Waiting(recheck_at=when) | Starting(ready_by=when) | Stopping(kill_at=when):
            return when
        case Backoff(until=when) | Draining(until=when):
            return when
        case Stopped() | Running() | Unhealthy() | Ended() | Fatal():
            return FOREVER
    assert_never(state)


def run_of(state: State) -> int | None:
    """The run whose process tree is not yet proven gone, if any."""
    match state:
        case Starting(run=run) | Running(run=run) | Unhealthy(run=run):
            return run
        case Draining(run=run) | Stopping(run=run):
            return run
        case Stopped() | Waiting() | Backoff() | Ended() | Fatal():
            return None
    assert_never(state)


_PUBLIC: dict[type[State], PublicState] = {
    Stopped: PublicState.STOPPED,
    Waiting: PublicState.WAITING,
    Starting: PublicState.STARTING,
    Running: PublicState.RUNNING,
    Unhealthy: PublicState.UNHEALTHY,
    Draining: PublicState.STOPPING,
    Stopping: PublicState.STOPPING,
    Backoff: PublicState.BACKOFF,
    Ended: PublicState.EXITED,
    Fatal: PublicState.FATAL,
}


def public(state: State) -> PublicState:
    """The word a user sees; never UNKNOWN, which is about what another node knows of the unit."""
    return _PUBLIC[type(state)]


def reason_of(state: State) -> str:
    """Why it is in this state, in words; empty where the state says it all."""
    match state:
        case Waiting(reason=why) | Unhealthy(reason=why):
            return why
        case Backoff(reason=why, last_words=last) | Fatal(reason=why, last_words=last):
            return f"{why}: cause unknown; its last words: {last}" if last else why
        case Draining(reason=why):
            return f"{why}; gets no new work, its last is being done"
        case Stopping(reason=why, kills=kills, left=left):
            killed = ("", "SIGKILL sent", "SIGKILL sent, yet alive (state D in ps?)")[min(kills, 2)]
            return "; ".join(part for part in (why, left or killed) if part)
        case Ended(status=status):
            return str(status)
        case Stopped() | Starting() | Running():
            return ""
    assert_never(state)


def short_reason_of(state: State) -> str:
    """The reason without the last words of the output, for those who see that output anyway."""
    match state:
        case Backoff(reason=why) | Fatal(reason=why):
            return why
    return reason_of(state)


def is_news(before: State, after: State) -> bool:
    """Whether a step changed more than the time of the next look."""
    match before, after:
        case Waiting(reason=old), Waiting(reason=new):
            return old != new
        case Starting(run=old_run), Starting(run=new_run):
            return old_run != new_run
        case _:
            return before != after
