"""The life of one supervised unit, as a pure function.

``step(state, event, context)`` returns the next state and the effects to perform. It never reads
a clock, draws a random number, logs or touches a process: what it needs arrives in its arguments.

Three rules keep races out:

1. Every process event carries the *run* it belongs to. A late event of an earlier run is dropped
   in one place (``_stale``).
2. A timeout is a deadline stored in the state, never a callback. The caller sleeps until
   ``deadline(state)`` and sends ``Tick``; an early or late tick is harmless.
3. A state that holds a run has a process tree that is not yet proven gone. No other state may
   spawn before ``Exited`` for that run was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, assert_never

from supervisor.clock import FOREVER
from supervisor.plan.model import Restart
from supervisor.units.backoff import delay

# Ports have no "now free" event to wait for, so a start that found one taken is tried again.
RECHECK_S = 1.0
# Whatever a SIGKILL did not reach, because it was born meanwhile, gets the next one.
KILL_AGAIN_S = 5.0


class Then(Enum):
    """What follows once a stopping unit is gone."""

    REST = "rest"  # it is wanted down
    RESTART = "restart"  # it is wanted up afresh: no blame, no delay
    RETRY = "retry"  # it failed us: count it and back off


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a main process ended: an exit code, or the name of the signal that killed it."""

    code: int | None
    signal: str | None = None

    def __str__(self) -> str:
        return f"killed by {self.signal}" if self.signal else f"exited with status {self.code}"


# -- states -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stopped:
    """Wanted down, and no process."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Wanted up, but a gate is closed, or the node is not clean (then there is a time to look)."""

    failures: int
    reason: str
    recheck_at: float = FOREVER


@dataclass(frozen=True, slots=True)
class Starting:
    """Spawned; not yet ready."""

    run: int
    ready_by: float
    failures: int


@dataclass(frozen=True, slots=True)
class Running:
    """Ready since a time; long enough and past failures are forgiven."""

    run: int
    since: float
    failures: int


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """Was ready, is not now; left alone, because readiness never restarts anything.

    Also when the main process ended by itself, until the rest of its tree is gone.
    """

    run: int
    since: float
    failures: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """Asked to end; killed at a deadline, ``kills`` times so far.

    ``left`` tells what of the tree outlives the main process.
    """

    run: int
    kill_at: float
    then: Then
    failures: int
    reason: str
    kills: int = 0
    left: str = ""


@dataclass(frozen=True, slots=True)
class Backoff:
    """No process; next attempt at a time."""

    until: float
    failures: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Ended by itself, as its restart policy allows."""

    status: ExitStatus


@dataclass(frozen=True, slots=True)
class Fatal:
    """Gave up. Only an operator's start leaves this state."""

    failures: int
    reason: str


State = Stopped | Waiting | Starting | Running | Unhealthy | Stopping | Backoff | Ended | Fatal


# -- events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """It is wanted up."""


@dataclass(frozen=True, slots=True)
class Stop:
    """It is wanted down; a second one may shorten the deadline (``Context.stop_within``)."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time may have passed a deadline."""


@dataclass(frozen=True, slots=True)
class GateChanged:
    """The gate may have opened or closed; the new answer is in ``Context.gate``."""


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The run was not spawned: the operating system refused."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class Lingering:
    """The main process ended, and parts of its tree still live although they were killed."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The main process ended, and nothing of its tree is left."""

    run: int
    status: ExitStatus


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The readiness question was answered with yes."""

    run: int


@dataclass(frozen=True, slots=True)
class LostReadiness:
    """The readiness question was answered with no, often enough."""

    run: int
    detail: str


Event = (
    Start
    | Stop
    | Tick
    | GateChanged
    | SpawnFailed
    | Lingering
    | Exited
    | BecameReady
    | LostReadiness
)


# -- effects ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the process of this run."""

    run: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send the stop signal to the main process only: a group TERM breaks an engine's drain."""

    run: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the whole tree."""

    run: int


Effect = Spawn | Terminate | Kill
Step = tuple[State, tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a decision depends on that is not in the state or the event. Times in seconds."""

    now: float
    next_run: int
    gate: str | None  # what it waits for; None = open
    restart: Restart
    ready_within: float
    stop_within: float
    chance: float = 0.0  # in [0, 1), drawn by the caller
    unclean: str | None = None  # who holds what it needs; None = nobody, as far as was looked


# -- the decision -----------------------------------------------------------------------------


def step(state: State, event: Event, ctx: Context) -> Step:
    """The next state and what to do; total over every pair of state and event."""
    if _stale(state, event):
        return state, ()
    match event:
        case Start():
            return _on_start(state, ctx)
        case Stop():
            return _on_stop(state, ctx)
        case Tick():
            return _on_tick(state, ctx)
        case GateChanged():
            return _on_gate(state, ctx)
        case SpawnFailed(detail=detail):
            return _on_refusal(state, detail, ctx)
        case Lingering(detail=detail):
            return _on_lingering(state, detail, ctx)
        case Exited(status=status):
            return _on_exit(state, status, ctx)
        case BecameReady():
            return _on_ready(state, ctx)
        case LostReadiness(detail=detail):
            return _on_lost(state, detail, ctx)
    assert_never(event)


def deadline(state: State) -> float:
    """When the caller must send ``Tick`` (monotonic seconds); ``FOREVER`` means never."""
    match state:
        case Waiting(recheck_at=when) | Starting(ready_by=when) | Stopping(kill_at=when):
            return when
        case Backoff(until=when):
            return when
        case Stopped() | Running() | Unhealthy() | Ended() | Fatal():
            return FOREVER
    assert_never(state)


def run_of(state: State) -> int | None:
    """The run whose process tree is not yet proven gone, if any."""
    match state:
        case Starting(run=run) | Running(run=run) | Unhealthy(run=run) | Stopping(run=run):
            return run
        case Stopped() | Waiting() | Backoff() | Ended() | Fatal():
            return None
    assert_never(state)


Public = Literal[
    "STOPPED",
    "WAITING",
    "STARTING",
    "RUNNING",
    "UNHEALTHY",
    "STOPPING",
    "BACKOFF",
    "EXITED",
    "FATAL",
]

_PUBLIC: dict[type[State], Public] = {
    Stopped: "STOPPED",
    Waiting: "WAITING",
    Starting: "STARTING",
    Running: "RUNNING",
    Unhealthy: "UNHEALTHY",
    Stopping: "STOPPING",
    Backoff: "BACKOFF",
    Ended: "EXITED",
    Fatal: "FATAL",
}


def public(state: State) -> Public:
    """The word a user sees."""
    return _PUBLIC[type(state)]


def reason_of(state: State) -> str:
    """Why it is in this state, in words; empty where the state says it all."""
    match state:
        case Waiting(reason=why) | Unhealthy(reason=why) | Backoff(reason=why) | Fatal(reason=why):
            return why
        case Stopping(reason=why, kills=kills, left=left):
            killed = ("", "SIGKILL sent", "SIGKILL sent, yet alive (state D in ps?)")[min(kills, 2)]
            return "; ".join(part for part in (why, left or killed) if part)
        case Ended(status=status):
            return str(status)
        case Stopped() | Starting() | Running():
            return ""
    assert_never(state)


def is_news(before: State, after: State) -> bool:
    """Whether a step changed more than the time of the next look."""
    match before, after:
        case Waiting(reason=old), Waiting(reason=new):
            return old != new
        case _:
            return before != after


def _stale(state: State, event: Event) -> bool:
    match event:
        case Start() | Stop() | Tick() | GateChanged():
            return False
        case _:
            return event.run != run_of(state)


def _on_start(state: State, ctx: Context) -> Step:
    match state:
        case Stopped() | Ended() | Fatal() | Backoff():
            return _attempt(0, ctx)
        case Stopping():
            return replace(state, then=Then.RESTART), ()
        case Waiting() | Starting() | Running() | Unhealthy():
            return state, ()
    assert_never(state)


def _on_stop(state: State, ctx: Context) -> Step:
    match state:
        case Starting(run=run, failures=n) | Running(run=run, failures=n):
            return _terminate(run, Then.REST, n, "stop requested", ctx)
        case Unhealthy(run=run, failures=n):
            return _terminate(run, Then.REST, n, "stop requested", ctx)
        case Stopping(kill_at=when):
            return replace(state, then=Then.REST, kill_at=min(when, ctx.now + ctx.stop_within)), ()
        case Ended():
            return state, ()
        case Waiting() | Backoff() | Fatal() | Stopped():
            return Stopped(), ()
    assert_never(state)


def _on_tick(state: State, ctx: Context) -> Step:
    if ctx.now < deadline(state):
        return state, ()
    match state:
        case Starting(run=run, failures=n):
            why = f"not ready within {ctx.ready_within:g} s"
            return _terminate(run, Then.RETRY, n, why, ctx)
        case Stopping(run=run, kills=kills):
            return replace(state, kill_at=ctx.now + KILL_AGAIN_S, kills=kills + 1), (Kill(run),)
        case Backoff(failures=n) | Waiting(failures=n):
            return _attempt(n, ctx)
        case Stopped() | Running() | Unhealthy() | Ended() | Fatal():
            return state, ()
    assert_never(state)


def _on_gate(state: State, ctx: Context) -> Step:
    match state:
        # A start that found the node unclean has its own time to look again.
        case Waiting(failures=n, recheck_at=when) if when == FOREVER or ctx.gate is not None:
            return _attempt(n, ctx)
        case _:
            return state, ()


def _on_ready(state: State, ctx: Context) -> Step:
    match state:
        case Starting(run=run, failures=n) | Unhealthy(run=run, failures=n):
            return Running(run, ctx.now, n), ()
        case _:
            return state, ()


def _on_lost(state: State, detail: str, ctx: Context) -> Step:
    match state:
        case Running(run=run, since=since, failures=n):
            return Unhealthy(run, ctx.now, _forgiven(n, since, ctx), detail), ()
        case Unhealthy():
            return replace(state, reason=detail), ()
        case _:
            return state, ()


def _on_lingering(state: State, detail: str, ctx: Context) -> Step:
    match state:
        case Starting(run=run, failures=n):
            return Unhealthy(run, ctx.now, n, detail), ()
        case Stopping():
            return replace(state, left=detail), ()
        case _:
            return _on_lost(state, detail, ctx)


def _on_exit(state: State, status: ExitStatus, ctx: Context) -> Step:
    policy = ctx.restart.policy
    allowed = policy == "never" or (policy == "on-failure" and status == ExitStatus(0))
    match state:
        case Starting() | Running() | Unhealthy() if allowed:
            return Ended(status), ()
        case Starting(failures=n) | Unhealthy(failures=n):
            return _after_failure(n + 1, str(status), ctx)
        case Running(since=since, failures=n):
            return _after_failure(_forgiven(n, since, ctx) + 1, str(status), ctx)
        case Stopping(then=Then.RETRY, failures=n, reason=why) if policy == "never":
            return Fatal(n + 1, why), ()
        case Stopping():
            return _gone(state, ctx)
        case Stopped() | Waiting() | Backoff() | Ended() | Fatal():
            raise AssertionError(f"no run in {state!r}, yet its end came: {status}")
    assert_never(state)


def _on_refusal(state: State, detail: str, ctx: Context) -> Step:
    match state:
        case Starting(failures=n):
            return _after_failure(n + 1, f"cannot start: {detail}", ctx)
        case Stopping():
            return _gone(state, ctx)
        case _:
            raise AssertionError(f"{state!r} was started, yet its start was refused: {detail}")


def _gone(state: Stopping, ctx: Context) -> Step:
    """A unit that was being stopped is gone, however that came about."""
    match state.then:
        case Then.REST:
            return Stopped(), ()
        case Then.RESTART:
            return _attempt(0, ctx)
        case Then.RETRY:
            return _after_failure(state.failures + 1, state.reason, ctx)
    assert_never(state.then)


def _attempt(failures: int, ctx: Context) -> Step:
    if ctx.gate is not None:
        return Waiting(failures, ctx.gate), ()
    if ctx.unclean is not None:
        return Waiting(failures, ctx.unclean, ctx.now + RECHECK_S), ()
    run = ctx.next_run
    return Starting(run, ctx.now + ctx.ready_within, failures), (Spawn(run),)


def _after_failure(failures: int, reason: str, ctx: Context) -> Step:
    if failures > ctx.restart.max_failures:
        return Fatal(failures, f"gave up after {failures} failures, the last: {reason}"), ()
    return Backoff(ctx.now + delay(ctx.restart, failures, ctx.chance), failures, reason), ()


def _terminate(run: int, then: Then, failures: int, reason: str, ctx: Context) -> Step:
    state = Stopping(run, ctx.now + ctx.stop_within, then, failures, reason)
    return state, (Terminate(run),)


def _forgiven(failures: int, since: float, ctx: Context) -> int:
    return 0 if ctx.now - since >= ctx.restart.forgive_after_s else failures
