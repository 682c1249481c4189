"""The life of one supervised unit, as a pure function.

``step(state, event, context)`` returns the next state and the effects to perform. It never reads
a clock, draws a random number, logs or touches a process: what it needs arrives in its arguments.
So a journal of events and contexts can be replayed, and a step can be tried before it is taken:
a caller that sees a ``Spawn`` first checks whether the node is clean, which takes time, and then
steps again with the answer.

Three rules keep races out:

1. Every process event carries the *run* it belongs to. ``_stale`` alone drops late events of
   earlier runs.
2. A timeout is a deadline stored in the state, never a callback. The caller sleeps until
   ``states.deadline(state)`` and sends ``Tick``; an early or late tick is harmless.
3. A state that holds a run has a process tree that is not yet proven gone. Nothing is spawned
   before ``Exited`` for that run has been seen, so a unit never runs twice.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from pdsup.plan.model import Restart as Policy
from pdsup.times import duration
from pdsup.units.backoff import delay
from pdsup.units.events import (
    BecameReady,
    Drain,
    Drained,
    Effect,
    Event,
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
from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import (
    FOREVER,
    Backoff,
    Draining,
    Ended,
    Failures,
    Fatal,
    Running,
    Starting,
    State,
    Stopped,
    Stopping,
    Then,
    Unhealthy,
    Waiting,
    deadline,
    run_of,
)

# No event says that a port is free again, so a start that found one in use is tried again.
RECHECK_S = 1.0
# A process that is forked while its tree is being killed escapes; the next SIGKILL finds it.
KILL_AGAIN_S = 5.0
# How long a rank that has lost its gang may take to stop: it has no work to save.
LOST_GANG_S = 5.0
# And a hung unit, whose evidence has been taken: it did not react to anything for long.
HUNG_S = 1.0
HOPELESS = "not restarted: it would fail the same way again"
Step = tuple[State, tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a decision depends on besides the state and the event. Times in seconds."""

    now: float
    next_run: int
    gate: str | None  # what the unit waits for; None: the gate is open
    restart: Policy
    ready_within: float
    stop_within: float
    ready_at_most: float = FOREVER  # the limit even for a unit that makes progress
    quiet_within: float = 0.0  # after ``ready_within``: how far each sign of progress extends it
    drain_within: float = 0.0  # 0: no draining
    chance: float = 0.0  # in [0, 1), drawn by the caller
    unclean: str | None = None  # who holds its ports or GPUs; None: nobody, or not checked yet


# -- the decision -----------------------------------------------------------------------------


def step(state: State, event: Event, ctx: Context) -> Step:
    """The next state and what to do; total over every pair of state and event."""
    if _stale(state, event):
        return state, ()
    match event:
        case Start():
            return _on_start(state, ctx)
        case Stop():
            return _on_stop(state, event, ctx)
        case Restart(reason=reason):
            return _on_restart(state, reason, ctx)
        case Tick():
            return _on_tick(state, ctx)
        case GateChanged():
            return _on_gate(state, ctx)
        case SpawnFailed():
            return _on_refusal(state, event, ctx)
        case Lingering(detail=detail):
            return _on_lingering(state, detail, ctx)
        case Exited():
            return _on_exit(state, event, ctx)
        case Progressed():
            return _on_progress(state, ctx)
        case BecameReady():
            return _on_ready(state, ctx)
        case LostReadiness(detail=detail):
            return _on_lost(state, detail, ctx)
        case FoundDead(detail=detail):
            return _on_dead(state, detail, ctx)
        case Recycle(reason=reason):
            return _on_recycle(state, reason, ctx)
        case Drained():
            return _on_drained(state, ctx)
    assert_never(event)


def _stale(state: State, event: Event) -> bool:
    match event:
        case Start() | Stop() | Restart() | Tick() | GateChanged():
            return False
        case _:
            return event.run != run_of(state)


def _on_start(state: State, ctx: Context) -> Step:
    match state:
        case Stopped() | Ended() | Fatal() | Backoff():
            return _attempt((), ctx)
        case Draining() | Stopping():
            return replace(state, then=Then.RESTART, failures=()), ()
        case Waiting() | Starting() | Running() | Unhealthy():
            return state, ()
    assert_never(state)


def _on_stop(state: State, event: Stop, ctx: Context) -> Step:
    within = event.within
    hurried = within < ctx.stop_within
    if hurried:
        ctx = replace(ctx, stop_within=within, drain_within=0.0)
    match state:
        case Starting() | Running() | Unhealthy():
            return _end(state, Then.REST, event.reason, ctx)
        case Draining(run=run, failures=failures, reason=why) if hurried:
            return _terminate(run, Then.REST, failures, why, ctx.now + within)
        case Draining(until=when):
            return replace(state, then=Then.REST, until=min(when, ctx.now + ctx.stop_within)), ()
        case Stopping(kill_at=when):
            return replace(state, then=Then.REST, kill_at=min(when, ctx.now + ctx.stop_within)), ()
        case Ended():
            return state, ()
        case Waiting() | Backoff() | Fatal() | Stopped():
            return Stopped(), ()
    assert_never(state)


def _on_restart(state: State, reason: str, ctx: Context) -> Step:
    match state:
        case Starting() | Running() | Unhealthy():
            return _end(state, Then.RESTART, reason, ctx)
        case Waiting():
            return _attempt((), ctx)
        case _:
            return _on_start(state, ctx)


def _on_tick(state: State, ctx: Context) -> Step:
    if ctx.now < deadline(state):
        return state, ()
    match state:
        case Starting(run=run, failures=failures, hard_by=hard_by):
            late = ctx.ready_at_most if ctx.now >= hard_by else ctx.ready_within
            why = f"not ready within {duration(late)}"
            if ctx.now < hard_by < FOREVER:
                why += f", and no sign of progress for {duration(ctx.quiet_within)}"
            return _terminate(run, Then.RETRY, failures, why, ctx.now + ctx.stop_within)
        case Draining():
            return _on_drained(state, ctx)
        case Stopping(run=run, kills=kills):
            return replace(state, kill_at=ctx.now + KILL_AGAIN_S, kills=kills + 1), (Kill(run),)
        case Backoff(failures=failures) | Waiting(failures=failures):
            return _attempt(failures, ctx)
        case Stopped() | Running() | Unhealthy() | Ended() | Fatal():
            return state, ()
    assert_never(state)


def _on_gate(state: State, ctx: Context) -> Step:
    match state:
        # A start that found the node unclean checks again at its own time.
        case Waiting(failures=failures, recheck_at=when) if when == FOREVER or ctx.gate is not None:
            return _attempt(failures, ctx)
        case _:
            return state, ()


def _on_progress(state: State, ctx: Context) -> Step:
    match state:
        case Starting(ready_by=when, hard_by=hard_by):
            later = min(hard_by, ctx.now + ctx.quiet_within)
            return replace(state, ready_by=max(when, later)), ()
        case _:
            return state, ()


def _on_ready(state: State, ctx: Context) -> Step:
    match state:
        case Starting(run=run, failures=failures) | Unhealthy(run=run, failures=failures):
            return Running(run, ctx.now, failures), ()
        case _:
            return state, ()


def _on_lost(state: State, detail: str, ctx: Context) -> Step:
    match state:
        case Running(run=run):
            return Unhealthy(run, ctx.now, _blamed(state, ctx), detail), ()
        case Unhealthy():
            return replace(state, reason=detail), ()
        case _:
            return state, ()


def _on_dead(state: State, detail: str, ctx: Context) -> Step:
    soon = ctx.now + min(HUNG_S, ctx.stop_within)
    match state:
        case Starting(run=run) | Running(run=run) | Unhealthy(run=run):
            return _terminate(run, Then.RETRY, _blamed(state, ctx), detail, soon)
        case Draining(run=run, then=then, failures=failures):
            return _terminate(run, then, failures, detail, soon)
        case _:
            return state, ()


def _on_recycle(state: State, reason: str, ctx: Context) -> Step:
    match state:
        case Starting(run=run) | Running(run=run) | Unhealthy(run=run):
            soon = ctx.now + min(LOST_GANG_S, ctx.stop_within)
            return _terminate(run, Then.RESTART, _blamed(state, ctx), reason, soon)
        case Draining():
            return _on_drained(state, ctx)
        case _:
            return state, ()


def _on_drained(state: State, ctx: Context) -> Step:
    match state:
        case Draining(run=run, then=then, failures=failures, reason=why):
            return _terminate(run, then, failures, why, ctx.now + ctx.stop_within)
        case _:
            return state, ()


def _on_lingering(state: State, detail: str, ctx: Context) -> Step:
    match state:
        case Starting(run=run, failures=failures):
            return Unhealthy(run, ctx.now, failures, detail), ()
        case Draining(run=run, then=then, failures=failures, reason=why):
            until = ctx.now + ctx.stop_within
            return Stopping(run, until, then, failures, why, left=detail), ()
        case Stopping():
            return replace(state, left=detail), ()
        case _:
            return _on_lost(state, detail, ctx)


def _on_exit(state: State, event: Exited, ctx: Context) -> Step:
    policy = ctx.restart.policy
    allowed = policy == "never" or (policy == "on-failure" and event.status == ExitStatus(0))
    match state:
        case Starting() | Running() | Unhealthy() if allowed:
            return Ended(event.status), ()
        case Starting() | Running() | Unhealthy():
            blamed = (*_blamed(state, ctx), ctx.now)
            if (why := _fatal(event, ctx.restart)) is not None:
                return Fatal(blamed, why, event.last_words), ()
            return _after_failure(blamed, str(event), ctx, event.last_words)
        case Stopping(then=Then.RETRY, failures=failures, reason=why) if policy == "never":
            return Fatal((*failures, ctx.now), why), ()
        case Draining() | Stopping():
            return _gone(state, ctx)
        case Stopped() | Waiting() | Backoff() | Ended() | Fatal():
            raise AssertionError(f"{state!r} has no run, but one ended: {event.status}")
    assert_never(state)


def _fatal(event: Exited, policy: Policy) -> str | None:
    """Why the unit is given up at once; None if it may be restarted."""
    if event.hopeless:
        return f"{event}; {HOPELESS}"
    if event.status.code in policy.fatal_codes:
        return f"{event}; not restarted: the plan has it in restart.fatal_codes"
    if event.status.signal in policy.fatal_signals:
        return f"{event}; not restarted: the plan has it in restart.fatal_signals"
    return None


def _on_refusal(state: State, event: SpawnFailed, ctx: Context) -> Step:
    why = f"cannot start: {event.detail}"
    match state:
        case Starting(failures=failures) if event.hopeless:
            return Fatal((*failures, ctx.now), f"{why}; {HOPELESS}"), ()
        case Starting(failures=failures):
            return _after_failure((*failures, ctx.now), why, ctx)
        case Stopping():
            return _gone(state, ctx)
        case _:
            raise AssertionError(f"{state!r} spawned nothing, but a spawn failed: {event.detail}")


def _gone(state: Draining | Stopping, ctx: Context) -> Step:
    """The step after a stop has completed, whatever ended the unit."""
    match state.then:
        case Then.REST:
            return Stopped(), ()
        case Then.RESTART:
            return _attempt(state.failures, ctx)
        case Then.RETRY:
            return _after_failure((*state.failures, ctx.now), state.reason, ctx)
    assert_never(state.then)


def _attempt(failures: Failures, ctx: Context) -> Step:
    if ctx.gate is not None:
        return Waiting(failures, ctx.gate), ()
    if ctx.unclean is not None:
        return Waiting(failures, ctx.unclean, ctx.now + RECHECK_S), ()
    run = ctx.next_run
    hard_by = ctx.now + ctx.ready_at_most
    ready_by = min(hard_by, ctx.now + ctx.ready_within)
    return Starting(run, ready_by, failures, hard_by), (Spawn(run),)


def _after_failure(failures: Failures, reason: str, ctx: Context, last_words: str = "") -> Step:
    recent = tuple(at for at in failures if ctx.now - at <= ctx.restart.window_s)
    count = len(recent)
    if count >= ctx.restart.max_failures:
        why = f"gave up after {count} failure{'' if count == 1 else 's'}, the last: {reason}"
        return Fatal(recent, why, last_words), ()
    until = ctx.now + delay(ctx.restart, count, ctx.chance)
    return Backoff(until, recent, reason, last_words), ()


def _end(state: Starting | Running | Unhealthy, then: Then, reason: str, ctx: Context) -> Step:
    """The first step of a planned stop: a unit that may be in use is drained first."""
    failures = () if then is Then.RESTART else _blamed(state, ctx)
    if ctx.drain_within > 0 and not isinstance(state, Starting):
        until = ctx.now + ctx.drain_within
        return Draining(state.run, until, then, failures, reason), (Drain(state.run),)
    return _terminate(state.run, then, failures, reason, ctx.now + ctx.stop_within)


def _terminate(run: int, then: Then, failures: Failures, reason: str, kill_at: float) -> Step:
    return Stopping(run, kill_at, then, failures, reason), (Terminate(run),)


def _blamed(state: Starting | Running | Unhealthy, ctx: Context) -> Failures:
    """The failures that still count: none once the unit has been ready for long enough."""
    stable = isinstance(state, Running) and ctx.now - state.since >= ctx.restart.forgive_after_s
    return () if stable else state.failures
