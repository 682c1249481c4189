"""The life of a unit, by examples. The whole table and random histories have their own files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pdsup.plan.model import Restart as Policy
from pdsup.units import states
from pdsup.units.events import (
    BecameReady,
    Drain,
    Drained,
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
from pdsup.units.lifecycle import (
    HUNG_S,
    KILL_AGAIN_S,
    LOST_GANG_S,
    RECHECK_S,
    Context,
    step,
)
from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import (
    FOREVER,
    Backoff,
    Ended,
    Fatal,
    Running,
    Starting,
    Stopped,
    Stopping,
    Then,
    Unhealthy,
    Waiting,
    deadline,
    is_news,
    public,
    reason_of,
)

ALWAYS = Policy(first_delay_s=1.0, delay_s=2.0, max_failures=4, forgive_after_s=300.0)
ON_FAILURE = replace(ALWAYS, policy="on-failure")
NEVER = replace(ALWAYS, policy="never")
GOOD, BAD = ExitStatus(0), ExitStatus(1)
KILLED = ExitStatus(None, "SIGKILL")


def at(now: float = 0.0, **changes) -> Context:
    """A context with an open gate and a clean node; its next run is 9."""
    usual = Context(
        now=now, next_run=9, gate=None, restart=ALWAYS, ready_within=900.0, stop_within=15.0
    )
    return replace(usual, **changes)


def after(state: states.State, *events: tuple[Event, Context]) -> states.State:
    """Where a chain of events leads."""
    for event, context in events:
        state, _ = step(state, event, context)
    return state


# -- starting ----------------------------------------------------------------------------------


def test_a_start_with_an_open_gate_spawns_the_next_run() -> None:
    assert step(Stopped(), Start(), at(5.0)) == (Starting(9, 905.0, ()), (Spawn(9),))


def test_a_start_with_a_closed_gate_waits_and_says_for_what() -> None:
    assert step(Stopped(), Start(), at(gate="waits for decode-0")) == (
        Waiting((), "waits for decode-0"),
        (),
    )


def test_a_waiting_unit_starts_when_its_gate_opens() -> None:
    state, effects = step(Waiting((0.0, 0.0), "waits for decode-0"), GateChanged(), at(1.0))
    assert (state, effects) == (Starting(9, 901.0, (0.0, 0.0)), (Spawn(9),))


def test_a_waiting_unit_tells_what_it_waits_for_now() -> None:
    state, effects = step(Waiting((), "waits for a"), GateChanged(), at(gate="waits for b"))
    assert (state, effects) == (Waiting((), "waits for b"), ())


def test_a_gate_that_closes_later_does_not_touch_a_running_unit() -> None:
    assert step(Running(1, 0.0, ()), GateChanged(), at(gate="closed")) == (Running(1, 0.0, ()), ())


def test_a_start_on_an_unclean_node_waits_and_is_tried_again_by_itself() -> None:
    state, effects = step(Stopped(), Start(), at(10.0, unclean="port 1 is held by pid 5"))
    assert (state, effects) == (Waiting((), "port 1 is held by pid 5", 10.0 + RECHECK_S), ())
    assert step(state, Tick(), at(11.0)) == (Starting(9, 911.0, ()), (Spawn(9),))


def test_a_node_that_stays_unclean_is_no_news_and_no_failure() -> None:
    before = Waiting((0.0,), "port 1 is held by pid 5", 11.0)
    state, effects = step(before, Tick(), at(11.0, unclean="port 1 is held by pid 5"))
    assert (state, effects) == (replace(before, recheck_at=11.0 + RECHECK_S), ())
    assert not is_news(before, state)


def test_another_holder_of_the_port_is_news() -> None:
    before = Waiting((), "port 1 is held by pid 5", 11.0)
    assert is_news(before, after(before, (Tick(), at(11.0, unclean="port 1 is held by pid 6"))))


def test_news_of_a_gate_does_not_hasten_the_next_look_at_an_unclean_node() -> None:
    state = Waiting((), "port 1 is held by pid 5", 11.0)
    assert step(state, GateChanged(), at(10.5)) == (state, ())


def test_a_gate_that_closes_while_the_node_is_unclean_is_what_it_waits_for() -> None:
    state = Waiting((), "port 1 is held by pid 5", 11.0)
    assert step(state, GateChanged(), at(10.5, gate="waits for a"))[0] == Waiting((), "waits for a")


def test_a_unit_that_is_stopped_while_it_waits_is_stopped_at_once() -> None:
    assert step(Waiting((), "port 1 is held", 11.0), Stop(), at(10.5)) == (Stopped(), ())


def test_a_refused_spawn_is_a_failure_like_any_other() -> None:
    state = after(Starting(9, 900.0, ()), (SpawnFailed(9, "busy"), at(5.0)))
    assert state == Backoff(6.0, (5.0,), "cannot start: busy")


def test_a_spawn_that_would_be_refused_again_is_fatal_at_once() -> None:
    state = after(Starting(9, 900.0, ()), (SpawnFailed(9, "no such program", True), at(5.0)))
    why = "cannot start: no such program; not restarted: it would fail the same way again"
    assert state == Fatal((5.0,), why)


def test_a_refused_respawn_backs_off_again_instead_of_getting_stuck() -> None:
    state, effects = step(Backoff(10.0, (0.0,), "exited"), Tick(), at(10.0))
    assert effects == (Spawn(9),)
    assert after(state, (SpawnFailed(9, "busy"), at(10.0))) == Backoff(
        12.0, (0.0, 10.0), "cannot start: busy"
    )


def test_a_refused_spawn_is_tried_again_also_when_the_unit_is_to_run_only_once() -> None:
    state = after(Starting(9, 900.0, ()), (SpawnFailed(9, "busy"), at(restart=NEVER)))
    assert isinstance(state, Backoff)


# -- readiness ---------------------------------------------------------------------------------


def test_the_first_yes_makes_it_running() -> None:
    assert step(Starting(1, 900.0, (0.0, 0.0)), BecameReady(1), at(7.0)) == (
        Running(1, 7.0, (0.0, 0.0)),
        (),
    )


def test_lost_readiness_makes_it_unhealthy_and_never_restarts_it() -> None:
    state, effects = step(Running(1, 0.0, ()), LostReadiness(1, "HTTP 503"), at(5.0))
    assert (state, effects) == (Unhealthy(1, 5.0, (), "HTTP 503"), ())
    assert deadline(state) == FOREVER


def test_an_unhealthy_unit_that_answers_again_is_running_again() -> None:
    assert step(Unhealthy(1, 5.0, (0.0, 0.0), "x"), BecameReady(1), at(9.0))[0] == Running(
        1, 9.0, (0.0, 0.0)
    )


def test_an_unhealthy_unit_tells_the_newest_reason() -> None:
    state = after(Unhealthy(1, 5.0, (), "HTTP 503"), (LostReadiness(1, "refused"), at(6.0)))
    assert state == Unhealthy(1, 5.0, (), "refused")


def test_answers_of_a_unit_that_is_stopping_change_nothing() -> None:
    state = Stopping(1, 15.0, Then.REST, (), "stop requested")
    assert after(state, (BecameReady(1), at()), (LostReadiness(1, "x"), at())) == state


def test_a_unit_that_is_not_ready_in_time_is_stopped_and_counted() -> None:
    state, effects = step(Starting(1, 900.0, ()), Tick(), at(900.0))
    assert effects == (Terminate(1),)
    assert state == Stopping(1, 915.0, Then.RETRY, (), "not ready within 15 min")
    assert after(state, (Exited(1, GOOD), at(901.0))) == Backoff(
        902.0, (901.0,), "not ready within 15 min"
    )


def test_a_unit_that_is_to_run_only_once_and_is_not_ready_in_time_is_not_run_again() -> None:
    state = Stopping(1, 915.0, Then.RETRY, (), "not ready within 15 min")
    state = after(state, (Exited(1, KILLED), at(restart=NEVER)))
    assert state == Fatal((0.0,), "not ready within 15 min")


# -- exits and restarts ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [GOOD, BAD, KILLED], ids=str)
def test_any_exit_nobody_asked_for_is_a_failure_also_code_0(status: ExitStatus) -> None:
    state = after(Running(1, 0.0, ()), (Exited(1, status), at(5.0)))
    assert state == Backoff(6.0, (5.0,), str(status))


UNEXPLAINED = Exited(1, BAD, last_words="one | two")
FINAL = replace(ALWAYS, fatal_codes=(1,))


@pytest.mark.parametrize("policy", [ALWAYS, replace(ALWAYS, max_failures=0), FINAL])
def test_the_last_words_of_a_run_are_told_after_the_reason_and_are_no_part_of_it(
    policy: Policy,
) -> None:
    state = after(Running(1, 0.0, ()), (UNEXPLAINED, at(5.0, restart=policy)))
    assert isinstance(state, Backoff | Fatal)
    assert state.last_words == "one | two"
    assert states.short_reason_of(state) == state.reason
    assert "one" not in state.reason
    told = f"{state.reason}; cause unknown, last output: one | two"
    assert states.reason_of(state) == told


def test_a_unit_that_restarts_on_failure_rests_after_code_0() -> None:
    state = after(Running(1, 0.0, ()), (Exited(1, GOOD), at(restart=ON_FAILURE)))
    assert state == Ended(GOOD)


@pytest.mark.parametrize("status", [BAD, KILLED], ids=str)
def test_a_unit_that_restarts_on_failure_restarts_after_any_other_end(status: ExitStatus) -> None:
    state = after(Running(1, 0.0, ()), (Exited(1, status), at(restart=ON_FAILURE)))
    assert isinstance(state, Backoff)


@pytest.mark.parametrize("status", [GOOD, BAD, KILLED], ids=str)
def test_a_unit_that_never_restarts_rests_however_it_ended(status: ExitStatus) -> None:
    for state in (Starting(1, 9.0, ()), Running(1, 0.0, ()), Unhealthy(1, 0.0, (), "x")):
        assert after(state, (Exited(1, status), at(restart=NEVER))) == Ended(status)


def test_an_ended_unit_starts_afresh_when_asked_to() -> None:
    assert step(Ended(BAD), Start(), at())[1] == (Spawn(9),)


def test_a_stop_of_an_ended_unit_keeps_how_it_ended() -> None:
    assert step(Ended(BAD), Stop(), at()) == (Ended(BAD), ())


def test_after_a_backoff_the_unit_is_tried_again_and_remembers_its_failures() -> None:
    assert step(Backoff(6.0, (0.0, 0.0), "x"), Tick(), at(6.0)) == (
        Starting(9, 906.0, (0.0, 0.0)),
        (Spawn(9),),
    )


def test_a_backoff_that_ends_before_a_closed_gate_waits_for_it() -> None:
    assert step(Backoff(6.0, (0.0, 0.0), "x"), Tick(), at(6.0, gate="closed"))[0] == Waiting(
        (0.0, 0.0), "closed"
    )


def test_a_stop_during_a_backoff_stops_the_retries() -> None:
    assert step(Backoff(6.0, (0.0, 0.0), "x"), Stop(), at(5.0)) == (Stopped(), ())


def test_a_start_during_a_backoff_is_immediate_and_forgets_the_failures() -> None:
    assert step(Backoff(6.0, (0.0, 0.0), "x"), Start(), at(5.0)) == (
        Starting(9, 905.0, ()),
        (Spawn(9),),
    )


def test_as_many_failures_as_allowed_are_fatal_and_tell_the_last_reason() -> None:
    state: states.State = Starting(9, 900.0, ())
    for _ in range(ALWAYS.max_failures - 1):
        state = after(state, (Exited(9, BAD), at()))
        assert isinstance(state, Backoff)
        state = after(state, (Tick(), at(state.until)))
    state = after(state, (Exited(9, BAD), at()))
    assert state == Fatal(
        (0.0, 0.0, 0.0, 0.0), "gave up after 4 failures, the last: exited with status 1"
    )
    assert deadline(state) == FOREVER


@pytest.mark.parametrize("most", [0, 1, 2, 10])
def test_a_unit_gives_up_at_the_failure_of_that_number(most: int) -> None:
    policy = replace(ALWAYS, max_failures=most)
    state: states.State = Starting(9, 900.0, ())
    count = 0
    while not isinstance(state, Fatal):
        state = after(state, (Exited(9, BAD), at(restart=policy)))
        count += 1
        if isinstance(state, Backoff):
            state = after(state, (Tick(), at(state.until, restart=policy)))
    assert count == max(1, most)
    assert state.reason.startswith(f"gave up after {count} failure{'s' * (count > 1)}, the last:")


def test_a_fatal_unit_starts_only_when_somebody_asks() -> None:
    state = Fatal((0.0, 0.0, 0.0, 0.0), "gave up")
    for event in (Tick(), GateChanged()):
        assert step(state, event, at(1e9)) == (state, ())
    assert step(state, Start(), at()) == (Starting(9, 900.0, ()), (Spawn(9),))


def test_a_unit_that_ran_long_enough_is_forgiven_its_failures() -> None:
    state = after(Running(1, 0.0, (0.0, 0.0, 0.0)), (Exited(1, BAD), at(300.0)))
    assert state == Backoff(301.0, (300.0,), "exited with status 1")


def test_a_unit_that_ran_a_moment_too_short_is_not_forgiven() -> None:
    state = after(Running(1, 0.0, (0.0, 0.0)), (Exited(1, BAD), at(299.9)))
    assert isinstance(state, Backoff)
    assert len(state.failures) == 3


def test_a_unit_that_got_unhealthy_after_running_long_enough_is_forgiven() -> None:
    state = after(
        Running(1, 0.0, (0.0, 0.0, 0.0)),
        (LostReadiness(1, "x"), at(300.0)),
        (Exited(1, BAD), at(301)),
    )
    assert isinstance(state, Backoff)
    assert len(state.failures) == 1


def test_a_long_time_without_readiness_before_the_end_forgives_nothing() -> None:
    state = after(Unhealthy(1, 0.0, (0.0, 0.0), "x"), (Exited(1, BAD), at(1000)))
    assert isinstance(state, Backoff)
    assert len(state.failures) == 3


def test_time_without_readiness_forgives_nothing() -> None:
    state = after(
        Unhealthy(1, 0.0, (0.0, 0.0), "x"), (BecameReady(1), at(1000)), (Exited(1, BAD), at(1001))
    )
    assert isinstance(state, Backoff)
    assert len(state.failures) == 3


@pytest.mark.parametrize(
    ("status", "field"),
    [(ExitStatus(78), "fatal_codes"), (ExitStatus(None, "SIGILL"), "fatal_signals")],
)
def test_an_end_that_the_plan_calls_final_is_fatal_at_once(status: ExitStatus, field: str) -> None:
    policy = replace(ALWAYS, fatal_codes=(78,), fatal_signals=("SIGILL",))
    state = after(Running(1, 0.0, ()), (Exited(1, status), at(5.0, restart=policy)))
    assert state == Fatal((5.0,), f"{status}; not restarted: the plan has it in restart.{field}")


def test_an_end_that_would_come_again_is_fatal_at_once_and_says_why() -> None:
    event = Exited(1, BAD, "unrecognized arguments: --tpp", hopeless=True)
    state = after(Starting(1, 9.0, ()), (event, at(5.0)))
    assert public(state) == "FATAL"
    assert reason_of(state).startswith("exited with status 1: unrecognized arguments: --tpp;")


def test_what_its_last_words_say_is_a_part_of_the_reason() -> None:
    state = after(Running(1, 0.0, ()), (Exited(1, BAD, "CUDA out of memory"), at()))
    assert reason_of(state) == "exited with status 1: CUDA out of memory"


def test_failures_older_than_the_window_neither_count_nor_lengthen_the_wait() -> None:
    policy = replace(ALWAYS, window_s=100.0)
    state = after(Starting(1, 9.0, (0.0, 10.0, 60.0)), (Exited(1, BAD), at(111.0, restart=policy)))
    assert state == Backoff(113.0, (60.0, 111.0), "exited with status 1")


def test_signs_of_progress_move_the_startup_deadline_but_not_the_hard_limit() -> None:
    state, _ = step(Stopped(), Start(), at(0.0, ready_within=60.0, ready_at_most=100.0))
    assert deadline(state) == 60.0
    for now, due in ((30.0, 90.0), (80.0, 100.0), (99.0, 100.0)):
        moved = after(state, (Progressed(9), at(now, quiet_within=60.0)))
        assert deadline(moved) == due
        assert not is_news(state, moved)
        state = moved
    over = after(state, (Tick(), at(100.0, ready_within=60.0, ready_at_most=100.0)))
    assert reason_of(over) == "not ready within 1 min 40 s"


def test_progress_before_the_startup_deadline_does_not_shorten_it() -> None:
    state = after(Starting(1, 60.0, (), 100.0), (Progressed(1), at(10.0, quiet_within=5.0)))
    assert deadline(state) == 60.0


def test_a_unit_that_makes_no_progress_is_ended_before_the_hard_limit() -> None:
    state = Starting(1, 60.0, (), 100.0)
    limits = {"ready_within": 60.0, "ready_at_most": 100.0, "quiet_within": 5.0}
    over = after(state, (Tick(), at(60.0, **limits)))
    assert reason_of(over) == "not ready within 1 min, and no sign of progress for 5 s"
    assert after(over, (Exited(1, KILLED), at(61.0))) == Backoff(62.0, (61.0,), over.reason)


@pytest.mark.parametrize(
    "state",
    [Starting(1, 900.0, ()), Running(1, 0.0, ()), Unhealthy(1, 0.0, (), "x")],
    ids=public,
)
def test_a_unit_found_dead_is_ended_soon_and_blamed(state: states.State) -> None:
    ending, effects = step(state, FoundDead(1, "no token for 300 s"), at(5.0))
    assert effects == (Terminate(1),)
    assert deadline(ending) == 5.0 + HUNG_S
    gone = after(ending, (Exited(1, KILLED), at(6.0)))
    assert gone == Backoff(7.0, (6.0,), "no token for 300 s")


def test_a_unit_that_begins_afresh_with_others_is_neither_blamed_nor_delayed() -> None:
    state = after(Running(1, 0.0, ()), (Recycle(1, "rank 1 failed"), at(5.0)))
    assert reason_of(state) == "rank 1 failed"
    assert deadline(state) == 5.0 + LOST_GANG_S  # without the others its requests can't end
    assert step(state, Exited(1, BAD), at(6.0)) == (Starting(9, 906.0, ()), (Spawn(9),))
    waits = after(state, (Exited(1, BAD), at(6.0, gate="waits for rank 1")))
    assert waits == Waiting((), "waits for rank 1")


def test_its_own_failures_before_still_count_or_ranks_that_fail_in_turn_would_for_ever() -> None:
    state = after(Running(1, 0.0, (0.0, 1.0)), (Recycle(1, "rank 1 failed"), at(5.0)))
    assert step(state, Exited(1, BAD), at(6.0))[0] == Starting(9, 906.0, (0.0, 1.0))
    by_hand = after(Running(1, 0.0, (0.0, 1.0)), (Restart(), at(5.0)))
    assert step(by_hand, Exited(1, BAD), at(6.0))[0] == Starting(9, 906.0, ())


# -- stopping ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [Starting(1, 900.0, ()), Running(1, 0.0, ()), Unhealthy(1, 0.0, (), "x")], ids=public
)
def test_a_stop_asks_the_unit_to_end_and_rests_when_it_did(state: states.State) -> None:
    stopping, effects = step(state, Stop(), at(5.0))
    assert effects == (Terminate(1),)
    assert deadline(stopping) == 20.0
    assert after(stopping, (Exited(1, GOOD), at(6.0))) == Stopped()


def test_a_unit_that_does_not_end_in_time_is_killed() -> None:
    state, effects = step(Stopping(1, 15.0, Then.REST, (), "stop requested"), Tick(), at(15.0))
    assert effects == (Kill(1),)
    assert reason_of(state) == "stop requested; SIGKILL sent"


def test_what_survives_a_kill_is_killed_again_and_said_to_be_alive() -> None:
    state = after(Stopping(1, 15.0, Then.REST, (), "stop requested"), (Tick(), at(15.0)))
    assert deadline(state) == 15.0 + KILL_AGAIN_S
    state, effects = step(state, Tick(), at(20.0))
    assert effects == (Kill(1),)
    assert reason_of(state) == "stop requested; survives SIGKILL (state D in ps?)"
    assert public(state) == "STOPPING"


def test_a_second_stop_in_a_hurry_brings_the_kill_forward() -> None:
    state = after(Running(1, 0.0, ()), (Stop(), at(0.0)), (Stop(within=1.0), at(2.0)))
    assert deadline(state) == 3.0


def test_a_second_stop_without_hurry_does_not_put_the_kill_off() -> None:
    state = after(Running(1, 0.0, ()), (Stop(), at(0.0)), (Stop(), at(14.0)))
    assert deadline(state) == 15.0


def test_a_timer_of_an_earlier_stop_does_not_kill_a_later_run_early() -> None:
    """Hazard read in pebble: its timer checks the state, but not whose stop it belongs to."""
    state = after(
        Running(1, 0.0, ()),
        (Stop(), at(0.0)),
        (Exited(1, GOOD), at(1.0)),
        (Start(), at(2.0, next_run=2)),
        (Stop(), at(10.0)),
    )
    assert step(state, Tick(), at(15.0)) == (state, ())
    assert deadline(state) == 25.0


def test_a_restart_by_the_operator_is_no_failure_and_has_no_delay() -> None:
    state = after(Running(1, 0.0, (0.0, 0.0, 0.0)), (Stop(), at(1.0)), (Start(), at(1.5)))
    assert step(state, Exited(1, KILLED), at(2.0)) == (Starting(9, 902.0, ()), (Spawn(9),))


def test_a_stop_after_a_restart_was_asked_for_wins() -> None:
    state = after(Running(1, 0.0, ()), (Stop(), at()), (Start(), at()), (Stop(), at()))
    assert after(state, (Exited(1, GOOD), at())) == Stopped()


def test_a_stop_wins_over_the_retry_of_a_unit_that_was_not_ready_in_time() -> None:
    state = Stopping(1, 915.0, Then.RETRY, (), "not ready within 15 min")
    assert after(state, (Stop(), at(901.0)), (Exited(1, GOOD), at(902.0))) == Stopped()


def test_a_stop_before_the_news_of_a_refused_spawn_ends_stopped() -> None:
    state = after(Starting(9, 900.0, ()), (Stop(), at()), (SpawnFailed(9, "busy"), at()))
    assert state == Stopped()


# -- the operator's restart, and drains ----------------------------------------------------------


@pytest.mark.parametrize(
    "state", [Stopped(), Waiting((0.0,), "x", 9.0), Ended(BAD), Fatal((0.0,), "x")], ids=public
)
def test_a_restart_of_what_does_not_run_is_a_start(state: states.State) -> None:
    assert step(state, Restart(), at()) == (Starting(9, 900.0, ()), (Spawn(9),))


def test_a_restart_ends_what_runs_and_starts_it_afresh() -> None:
    state, effects = step(Running(1, 0.0, (0.0,)), Restart(), at(1.0))
    assert effects == (Terminate(1),)
    assert step(state, Exited(1, KILLED), at(2.0)) == (Starting(9, 902.0, ()), (Spawn(9),))


@pytest.mark.parametrize("event", [Stop(), Restart()], ids=lambda event: type(event).__name__)
def test_a_planned_end_drains_first_and_asks_it_to_end_when_that_is_done(event) -> None:
    drains = at(0.0, drain_within=10.0)
    state, effects = step(Running(1, 0.0, ()), event, drains)
    assert (effects, public(state), deadline(state)) == ((Drain(1),), "STOPPING", 10.0)
    ending, effects = step(state, Drained(1), at(3.0))
    assert (effects, deadline(ending)) == ((Terminate(1),), 18.0)
    then = after(ending, (Exited(1, GOOD), at(4.0)))
    assert public(then) == ("STOPPED" if event == Stop() else "STARTING")


def test_a_drain_that_takes_too_long_is_cut_off() -> None:
    state = after(Running(1, 0.0, ()), (Stop(), at(0.0, drain_within=10.0)))
    assert step(state, Tick(), at(10.0))[1] == (Terminate(1),)


def test_what_is_not_ready_yet_has_nothing_to_drain() -> None:
    state = after(Starting(1, 900.0, ()), (Stop(), at(0.0, drain_within=10.0)))
    assert isinstance(state, Stopping)


def test_a_stop_in_a_hurry_cuts_a_drain_short() -> None:
    state = after(Running(1, 0.0, ()), (Stop(), at(0.0, drain_within=10.0)))
    state, effects = step(state, Stop(within=1.0), at(2.0, drain_within=10.0))
    assert (effects, deadline(state)) == ((Terminate(1),), 3.0)


def test_a_stop_in_a_hurry_drains_nothing() -> None:
    hurried = Stop(within=1.0), at(2.0, drain_within=10.0)
    state, effects = step(Running(1, 0.0, ()), *hurried)
    assert (effects, deadline(state)) == ((Terminate(1),), 3.0)


def test_a_stop_that_grants_more_time_than_the_plan_changes_nothing() -> None:
    state = after(Running(1, 0.0, ()), (Stop(within=99.0), at(2.0)))
    assert deadline(state) == 17.0


def test_what_dies_while_it_drains_is_gone_without_blame() -> None:
    state = after(Running(1, 0.0, ()), (Stop(), at(0.0, drain_within=10.0)))
    assert after(state, (Exited(1, BAD), at(1.0))) == Stopped()
    assert public(after(state, (Lingering(1, "alive: pid 7"), at(1.0)))) == "STOPPING"


def test_what_is_found_dead_while_it_drains_is_ended_and_stays_down() -> None:
    state = after(Running(1, 0.0, ()), (Stop(), at(0.0, drain_within=10.0)))
    state, effects = step(state, FoundDead(1, "frozen"), at(1.0))
    assert effects == (Terminate(1),)
    assert after(state, (Exited(1, KILLED), at(2.0))) == Stopped()


# -- trees that outlive their main process -----------------------------------------------------


@pytest.mark.parametrize(
    "state", [Starting(1, 900.0, (0.0, 0.0)), Running(1, 0.0, (0.0, 0.0))], ids=public
)
def test_a_unit_whose_main_process_ended_is_not_running_while_its_tree_lives(state) -> None:
    lingering = after(state, (Lingering(1, "alive: pid 7"), at(5.0)))
    assert lingering == Unhealthy(1, 5.0, (0.0, 0.0), "alive: pid 7")
    assert after(lingering, (Exited(1, BAD), at(6.0))) == Backoff(
        10.0, (0.0, 0.0, 6.0), "exited with status 1"
    )


def test_a_stopping_unit_names_what_is_left_of_it_and_is_not_stopped() -> None:
    state = after(Running(1, 0.0, ()), (Stop(), at()), (Lingering(1, "alive: pid 7"), at()))
    assert public(state) == "STOPPING"
    assert reason_of(state) == "stop requested; alive: pid 7"
    assert after(state, (Exited(1, BAD), at())) == Stopped()


# -- late events -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        Exited(1, KILLED),
        SpawnFailed(1, "x"),
        Lingering(1, "x"),
        BecameReady(1),
        LostReadiness(1, "x"),
        Progressed(1),
        FoundDead(1, "x"),
        Recycle(1, "x"),
        Drained(1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_late_event_of_an_earlier_run_does_not_touch_the_new_one(event: Event) -> None:
    for state in (
        Starting(2, 900.0, ()),
        Running(2, 0.0, ()),
        Stopping(2, 9.0, Then.REST, (), "x"),
    ):
        assert step(state, event, at(5.0)) == (state, ())
