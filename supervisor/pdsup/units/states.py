"""The states of one supervised unit: what each holds, and how a user sees it.

Many inner states, ten public words, one mapping. ``lifecycle`` decides the transitions.
A state that holds a run has a process tree that is not yet proven gone. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from pdsup.units.process.exit import ExitStatus
from pdsup.units.public_state import PublicState

# When each unforgiven failure happened, in monotonic seconds, the newest last.
Failures = tuple[float, ...]


# The deadline of a state that has none.
FOREVER = float("inf")


class Then(Enum):
    """What happens to a unit after its stop has completed."""

    REST = "rest"  # stay stopped
    RESTART = "restart"  # start again at once; this does not count as a failure
    RETRY = "retry"  # count a failure and back off


@dataclass(frozen=True, slots=True)
class Stopped:
    """Stopped, or never started; no process."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """About to start, but its gate is closed, or the node is not clean (rechecked at a time)."""

    failures: Failures
    reason: str
    recheck_at: float = FOREVER


@dataclass(frozen=True, slots=True)
class Starting:
    """Spawned, not yet ready. Progress extends ``ready_by``, but never past ``hard_by``."""

    run: int
    ready_by: float
    failures: Failures
    hard_by: float = FOREVER


@dataclass(frozen=True, slots=True)
class Running:
    """Ready since ``since``. After long enough its past failures are forgiven."""

    run: int
    since: float
    failures: Failures


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """Was ready, is not now. It is left alone: readiness never restarts anything.

    Also the state of a unit whose main process ended by itself, until the rest of its tree is gone.
    """

    run: int
    since: float
    failures: Failures
    reason: str


@dataclass(frozen=True, slots=True)
class Draining:
    """About to stop: it gets no new work. The stop signal follows, at ``until`` at the latest.

    Only a planned stop drains: a unit that failed has no work to save.
    """

    run: int
    until: float
    then: Then
    failures: Failures
    reason: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """Sent its stop signal; SIGKILL follows at ``kill_at``, and was sent ``kills`` times so far.

    ``left``: which processes of the tree outlive the main process.
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
    """Failed, no process; next attempt at ``until``. ``last_words``: see ``events.Exited``."""

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
    """Given up; only a start by hand leaves this state. ``last_words``: see ``events.Exited``."""

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
    """The state as a user sees it; never UNKNOWN, which says what other nodes know of a unit."""
    return _PUBLIC[type(state)]


def reason_of(state: State) -> str:
    """Why the unit is in this state, for people; empty where the state says it all."""
    match state:
        case Waiting(reason=why) | Unhealthy(reason=why):
            return why
        case Backoff(reason=why, last_words=last) | Fatal(reason=why, last_words=last):
            return f"{why}; cause unknown, last output: {last}" if last else why
        case Draining(reason=why):
            return f"{why}; draining: no new requests, waiting for those in flight"
        case Stopping(reason=why, kills=kills, left=left):
            killed = ("", "SIGKILL sent", "survives SIGKILL (state D in ps?)")[min(kills, 2)]
            return "; ".join(part for part in (why, left or killed) if part)
        case Ended(status=status):
            return str(status)
        case Stopped() | Starting() | Running():
            return ""
    assert_never(state)


def short_reason_of(state: State) -> str:
    """The reason without the last output, for places that show the output anyway."""
    match state:
        case Backoff(reason=why) | Fatal(reason=why):
            return why
    return reason_of(state)


def is_news(before: State, after: State) -> bool:
    """Whether a step changed more than a deadline."""
    match before, after:
        case Waiting(reason=old), Waiting(reason=new):
            return old != new
        case Starting(run=old_run), Starting(run=new_run):
            return old_run != new_run
        case _:
            return before != after
