"""Random histories of a unit against a fake operating system."""

from __future__ import annotations

from collections import deque

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pdsup.plan.model import Restart as Policy
from pdsup.units import events, states
from pdsup.units.events import (
    BecameReady,
    Drained,
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
from pdsup.units.lifecycle import Context, step
from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import (
    FOREVER,
    Draining,
    Ended,
    Fatal,
    Stopped,
    Stopping,
    Then,
    Waiting,
    deadline,
    run_of,
)

PATIENCE_S = 15.0
POLICIES = [
    Policy(
        policy=policy,
        first_delay_s=first,
        delay_s=2.0,
        max_failures=most,
        window_s=200.0,
        forgive_after_s=50.0,
        fatal_signals=final,
    )
    for policy in ("always", "on-failure", "never")
    for first in (0.0, 1.0)
    for most in (0, 3)
    for final in ((), ("SIGKILL",))
]
GOOD, BAD = ExitStatus(0), ExitStatus(1)
KILLED = ExitStatus(None, "SIGKILL")
STATUSES = st.sampled_from([GOOD, BAD, KILLED])


def granted(event: events.Event) -> float:
    """How long the unit gets to end, once this has asked it to."""
    return min(PATIENCE_S, event.within) if isinstance(event, Stop) else PATIENCE_S


class Histories(RuleBasedStateMachine):
    """The world holds processes and an inbox, as the runner does; rules are what it may do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.state: states.State = Stopped()
        self.inbox: deque[events.Event] = deque()
        self.main: int | None = None  # the run whose main process lives
        self.tree: int | None = None  # the run of which anything lives
        self.runs = 0
        self.gate: str | None = None
        self.unclean: str | None = None
        self.refuses = False
        self.wanted = False
        self.rests = False
        self.kill_due = FOREVER
        self.drain = 0.0
        self.restart = POLICIES[0]
        self.status, self.hopeless = GOOD, False

    @initialize(restart=st.sampled_from(POLICIES), drain=st.sampled_from([0.0, 10.0]))
    def policy(self, restart: Policy, drain: float) -> None:
        self.restart, self.drain = restart, drain

    # -- what the runner does

    def context(self) -> Context:
        return Context(
            now=self.now,
            next_run=self.runs + 1,
            gate=self.gate,
            restart=self.restart,
            ready_within=20.0,
            ready_at_most=60.0,
            stop_within=PATIENCE_S,
            drain_within=self.drain,
            unclean=self.unclean,
        )

    def take(self, event: events.Event) -> None:
        before, context = self.state, self.context()
        self.note(event, before, context)
        self.state, effects = step(before, event, context)
        for effect in effects:
            self.perform(effect, event, context)

    def note(self, event: events.Event, before: states.State, context: Context) -> None:
        """What the world knows of wishes and rights, told apart from the code under test."""
        if isinstance(event, Start | Restart):
            self.wanted, self.rests = True, False
        if isinstance(event, Stop):
            self.wanted = False
            if isinstance(before, Stopping):
                self.kill_due = min(self.kill_due, context.now + granted(event))
        own = isinstance(event, Exited) and event.run == run_of(before)
        if own and not isinstance(before, Stopping | Draining):
            once = self.restart.policy == "never"
            well = self.restart.policy == "on-failure" and event.status == GOOD
            self.rests |= once or well or event.hopeless

    def perform(self, effect: events.Effect, cause: events.Event, context: Context) -> None:
        if isinstance(effect, Spawn):
            assert self.tree is None, "a second process"
            assert self.wanted, "not wanted"
            assert not self.rests, "ended as its policy allows"
            assert context.gate is None and context.unclean is None
            self.spawn(effect.run)
        else:
            ends = [event.run for event in self.inbox if isinstance(event, Exited | SpawnFailed)]
            assert effect.run in (self.tree, *ends), "signalled what is gone"
        if isinstance(effect, Terminate):
            self.kill_due = min(self.kill_due, context.now + granted(cause))
        if isinstance(effect, Kill):
            self.kill_due = FOREVER

    def spawn(self, run: int) -> None:
        self.kill_due = FOREVER
        if self.refuses:
            self.inbox.append(SpawnFailed(run, "refused"))
        else:
            self.runs = self.main = self.tree = run

    # -- what the world may do

    @rule()
    def start(self) -> None:
        self.inbox.append(Start())

    @rule()
    def begin_afresh(self) -> None:
        self.inbox.append(Restart())

    @rule(within=st.sampled_from([0.0, 1.0, FOREVER]))
    def stop(self, within: float) -> None:
        self.take(Stop(within=within))

    @precondition(lambda self: self.inbox)
    @rule()
    def deliver(self) -> None:
        self.take(self.inbox.popleft())

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 15.0, 50.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.take(Tick())

    @rule()
    def the_deadline_comes(self) -> None:
        if deadline(self.state) < FOREVER:
            self.now = max(self.now, deadline(self.state))
            self.take(Tick())

    @rule(gate=st.sampled_from([None, "waits for a", "waits for b"]))
    def gate_changes(self, gate: str | None) -> None:
        self.gate = gate
        self.inbox.append(GateChanged())

    @rule(unclean=st.sampled_from([None, "port 1 is held"]), refuses=st.booleans())
    def node_changes(self, unclean: str | None, refuses: bool) -> None:
        self.unclean, self.refuses = unclean, refuses

    @precondition(lambda self: self.main is not None)
    @rule(status=STATUSES, lingers=st.booleans(), hopeless=st.booleans())
    def main_ends(self, status: ExitStatus, lingers: bool, hopeless: bool = False) -> None:
        self.status, self.hopeless = status, hopeless
        run, self.main = self.main, None
        if lingers:
            self.inbox.append(Lingering(run, "alive: pid 7"))
        else:
            self.tree_ends()

    @precondition(lambda self: self.tree is not None and self.main is None)
    @rule()
    def tree_ends(self) -> None:
        self.inbox.append(Exited(self.tree, self.status, "", self.hopeless))
        self.tree = None

    @precondition(lambda self: self.main is not None)
    @rule(said=st.sampled_from([BecameReady, Progressed, LostReadiness, FoundDead]))
    def answers(self, said: type) -> None:
        rest = ("HTTP 503",) if said in (LostReadiness, FoundDead) else ()
        self.inbox.append(said(self.main, *rest))

    @precondition(lambda self: self.main is not None)
    @rule()
    def must_begin_afresh_with_others(self) -> None:
        self.inbox.append(Recycle(self.main, "rank 1 failed"))

    @precondition(lambda self: isinstance(self.state, Draining))
    @rule()
    def is_drained(self) -> None:
        self.inbox.append(Drained(run_of(self.state)))

    @rule(
        run=st.integers(0, 50),
        event=st.sampled_from(
            [
                Lingering,
                SpawnFailed,
                LostReadiness,
                BecameReady,
                Exited,
                FoundDead,
                Recycle,
                Drained,
            ]
        ),
    )
    def late_event(self, run: int, event: type) -> None:
        if run != run_of(self.state):
            rest = {Exited: (BAD,), BecameReady: (), Drained: ()}.get(event, ("late",))
            before = self.state
            self.take(event(run, *rest))
            assert self.state == before

    # -- what must always hold

    @invariant()
    def at_most_one_process_and_the_state_knows_it(self) -> None:
        unseen = [event.run for event in self.inbox if isinstance(event, Exited | SpawnFailed)]
        known = [run_of(self.state)] if run_of(self.state) is not None else []
        assert [run for run in (self.tree, *unseen) if run is not None] == known

    @invariant()
    def wanted_down_never_leads_up(self) -> None:
        if not self.wanted:
            resting = isinstance(self.state, Stopped | Ended)
            ending = isinstance(self.state, Stopping | Draining)
            assert resting or (ending and self.state.then is Then.REST)

    @invariant()
    def wanted_up_is_not_forgotten(self) -> None:
        if self.wanted:
            assert not isinstance(self.state, Stopped)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """Whatever is not settled has a deadline, a process, a closed gate or news on the way."""
        settled = isinstance(self.state, Stopped | Ended | Fatal)
        timed = deadline(self.state) < FOREVER
        shut = isinstance(self.state, Waiting) and self.gate is not None
        assert settled or timed or shut or self.tree is not None or self.inbox

    @invariant()
    def whoever_is_asked_to_end_is_killed_in_time(self) -> None:
        if isinstance(self.state, Stopping):
            assert min(self.kill_due, FOREVER) == FOREVER or deadline(self.state) <= self.kill_due

    @invariant()
    def failures_stay_within_the_budget(self) -> None:
        if not isinstance(self.state, Stopped | Ended | Fatal):
            assert len(self.state.failures) < max(1, self.restart.max_failures)

    @invariant()
    def ticks_never_storm(self) -> None:
        """Deadlines that are due are gone after a tick each; the world does nothing in between."""
        state = self.state
        for _ in range(3):
            if deadline(state) > self.now:
                return
            state, _ = step(state, Tick(), self.context())
        assert deadline(state) > self.now

    def teardown(self) -> None:
        """From everywhere a stop leads to rest."""
        self.take(Stop())
        while self.inbox or self.tree is not None:
            if self.inbox:
                event = self.inbox.popleft()
                if not isinstance(event, Start | Restart):
                    self.take(event)
            elif self.main is not None:
                self.main_ends(KILLED, lingers=False)
            else:
                self.tree_ends()
        assert isinstance(self.state, Stopped | Ended)


def test_histories_of_any_kind_keep_the_invariants() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=300,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],  # of a busy machine, not of the code
        ),
    )
