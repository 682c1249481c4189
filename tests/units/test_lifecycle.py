"""The life of a unit, by examples. The whole table and random histories have their own files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from supervisor.clock import FOREVER
from supervisor.plan.model import Restart
from supervisor.units import lifecycle as lc
from supervisor.units.lifecycle import (
    KILL_AGAIN_S,
    RECHECK_S,
    Backoff,
    BecameReady,
    Context,
    Ended,
    Exited,
    ExitStatus,
    Fatal,
    GateChanged,
    Kill,
    Lingering,
    LostReadiness,
    Running,
    Spawn,
    SpawnFailed,
    Start,
    Starting,
    Stop,
    Stopped,
    Stopping,
    Terminate,
    Then,
    Tick,
    Unhealthy,
    Waiting,
    deadline,
    is_news,
    public,
    reason_of,
    step,
)

ALWAYS = Restart(first_delay_s=1.0, delay_s=2.0, max_failures=3, forgive_after_s=300.0)
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


def after(state: lc.State, *events: tuple[lc.Event, Context]) -> lc.State:
    """Where a chain of events leads."""
    for event, context in events:
        state, _ = step(state, event, context)
    return state


# -- starting ----------------------------------------------------------------------------------


def test_a_start_with_an_open_gate_spawns_the_next_run() -> None:
    assert step(Stopped(), Start(), at(5.0)) == (Starting(9, 905.0, 0), (Spawn(9),))


def test_a_start_with_a_closed_gate_waits_and_says_for_what() -> None:
    assert step(Stopped(), Start(), at(gate="waits for decode-0")) == (
        Waiting(0, "waits for decode-0"),
        (),
    )


def test_a_waiting_unit_starts_when_its_gate_opens() -> None:
    state, effects = step(Waiting(2, "waits for decode-0"), GateChanged(), at(1.0))
    assert (state, effects) == (Starting(9, 901.0, 2), (Spawn(9),))


def test_a_waiting_unit_tells_what_it_waits_for_now() -> None:
    state, effects = step(Waiting(0, "waits for a"), GateChanged(), at(gate="waits for b"))
    assert (state, effects) == (Waiting(0, "waits for b"), ())


def test_a_gate_that_closes_later_does_not_touch_a_running_unit() -> None:
    assert step(Running(1, 0.0, 0), GateChanged(), at(gate="closed")) == (Running(1, 0.0, 0), ())


def test_a_start_on_an_unclean_node_waits_and_is_tried_again_by_itself() -> None:
    state, effects = step(Stopped(), Start(), at(10.0, unclean="port 1 is held by pid 5"))
    assert (state, effects) == (Waiting(0, "port 1 is held by pid 5", 10.0 + RECHECK_S), ())
    assert step(state, Tick(), at(11.0)) == (Starting(9, 911.0, 0), (Spawn(9),))


def test_a_node_that_stays_unclean_is_no_news_and_no_failure() -> None:
    before = Waiting(1, "port 1 is held by pid 5", 11.0)
    state, effects = step(before, Tick(), at(11.0, unclean="port 1 is held by pid 5"))
    assert (state, effects) == (replace(before, recheck_at=11.0 + RECHECK_S), ())
    assert not is_news(before, state)


def test_another_holder_of_the_port_is_news() -> None:
    before = Waiting(0, "port 1 is held by pid 5", 11.0)
    assert is_news(before, after(before, (Tick(), at(11.0, unclean="port 1 is held by pid 6"))))


def test_news_of_a_gate_does_not_hasten_the_next_look_at_an_unclean_node() -> None:
    state = Waiting(0, "port 1 is held by pid 5", 11.0)
    assert step(state, GateChanged(), at(10.5)) == (state, ())


def test_a_gate_that_closes_while_the_node_is_unclean_is_what_it_waits_for() -> None:
    state = Waiting(0, "port 1 is held by pid 5", 11.0)
    assert step(state, GateChanged(), at(10.5, gate="waits for a"))[0] == Waiting(0, "waits for a")


def test_a_unit_that_is_stopped_while_it_waits_is_stopped_at_once() -> None:
    assert step(Waiting(0, "port 1 is held", 11.0), Stop(), at(10.5)) == (Stopped(), ())


def test_a_refused_spawn_is_a_failure_like_any_other() -> None:
    state = after(Starting(9, 900.0, 0), (SpawnFailed(9, "no such program"), at(5.0)))
    assert state == Backoff(6.0, 1, "cannot start: no such program")


def test_a_refused_respawn_backs_off_again_instead_of_getting_stuck() -> None:
    state, effects = step(Backoff(10.0, 1, "exited"), Tick(), at(10.0))
    assert effects == (Spawn(9),)
    assert after(state, (SpawnFailed(9, "busy"), at(10.0))) == Backoff(
        12.0, 2, "cannot start: busy"
    )


def test_a_refused_spawn_is_tried_again_also_when_the_unit_is_to_run_only_once() -> None:
    state = after(Starting(9, 900.0, 0), (SpawnFailed(9, "busy"), at(restart=NEVER)))
    assert isinstance(state, Backoff)


# -- readiness ---------------------------------------------------------------------------------


def test_the_first_yes_makes_it_running() -> None:
    assert step(Starting(1, 900.0, 2), BecameReady(1), at(7.0)) == (Running(1, 7.0, 2), ())


def test_lost_readiness_makes_it_unhealthy_and_never_restarts_it() -> None:
    state, effects = step(Running(1, 0.0, 0), LostReadiness(1, "HTTP 503"), at(5.0))
    assert (state, effects) == (Unhealthy(1, 5.0, 0, "HTTP 503"), ())
    assert deadline(state) == FOREVER


def test_an_unhealthy_unit_that_answers_again_is_running_again() -> None:
    assert step(Unhealthy(1, 5.0, 2, "x"), BecameReady(1), at(9.0))[0] == Running(1, 9.0, 2)


def test_an_unhealthy_unit_tells_the_newest_reason() -> None:
    state = after(Unhealthy(1, 5.0, 0, "HTTP 503"), (LostReadiness(1, "refused"), at(6.0)))
    assert state == Unhealthy(1, 5.0, 0, "refused")


def test_answers_of_a_unit_that_is_stopping_change_nothing() -> None:
    state = Stopping(1, 15.0, Then.REST, 0, "stop requested")
    assert after(state, (BecameReady(1), at()), (LostReadiness(1, "x"), at())) == state


def test_a_unit_that_is_not_ready_in_time_is_stopped_and_counted() -> None:
    state, effects = step(Starting(1, 900.0, 0), Tick(), at(900.0))
    assert effects == (Terminate(1),)
    assert state == Stopping(1, 915.0, Then.RETRY, 0, "not ready within 900 s")
    assert after(state, (Exited(1, GOOD), at(901.0))) == Backoff(902.0, 1, "not ready within 900 s")


def test_a_unit_that_is_to_run_only_once_and_is_not_ready_in_time_is_not_run_again() -> None:
    state = Stopping(1, 915.0, Then.RETRY, 0, "not ready within 900 s")
    state = after(state, (Exited(1, KILLED), at(restart=NEVER)))
    assert state == Fatal(1, "not ready within 900 s")


# -- exits and restarts ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [GOOD, BAD, KILLED], ids=str)
def test_any_exit_nobody_asked_for_is_a_failure_also_code_0(status: ExitStatus) -> None:
    state = after(Running(1, 0.0, 0), (Exited(1, status), at(5.0)))
    assert state == Backoff(6.0, 1, str(status))


def test_a_unit_that_restarts_on_failure_rests_after_code_0() -> None:
    state = after(Running(1, 0.0, 0), (Exited(1, GOOD), at(restart=ON_FAILURE)))
    assert state == Ended(GOOD)


@pytest.mark.parametrize("status", [BAD, KILLED], ids=str)
def test_a_unit_that_restarts_on_failure_restarts_after_any_other_end(status: ExitStatus) -> None:
    state = after(Running(1, 0.0, 0), (Exited(1, status), at(restart=ON_FAILURE)))
    assert isinstance(state, Backoff)


@pytest.mark.parametrize("status", [GOOD, BAD, KILLED], ids=str)
def test_a_unit_that_never_restarts_rests_however_it_ended(status: ExitStatus) -> None:
    for state in (Starting(1, 9.0, 0), Running(1, 0.0, 0), Unhealthy(1, 0.0, 0, "x")):
        assert after(state, (Exited(1, status), at(restart=NEVER))) == Ended(status)


def test_an_ended_unit_starts_afresh_when_asked_to() -> None:
    assert step(Ended(BAD), Start(), at())[1] == (Spawn(9),)


def test_a_stop_of_an_ended_unit_keeps_how_it_ended() -> None:
    assert step(Ended(BAD), Stop(), at()) == (Ended(BAD), ())


def test_after_a_backoff_the_unit_is_tried_again_and_remembers_its_failures() -> None:
    assert step(Backoff(6.0, 2, "x"), Tick(), at(6.0)) == (Starting(9, 906.0, 2), (Spawn(9),))


def test_a_backoff_that_ends_before_a_closed_gate_waits_for_it() -> None:
    assert step(Backoff(6.0, 2, "x"), Tick(), at(6.0, gate="closed"))[0] == Waiting(2, "closed")


def test_a_stop_during_a_backoff_stops_the_retries() -> None:
    assert step(Backoff(6.0, 2, "x"), Stop(), at(5.0)) == (Stopped(), ())


def test_a_start_during_a_backoff_is_immediate_and_forgets_the_failures() -> None:
    assert step(Backoff(6.0, 2, "x"), Start(), at(5.0)) == (Starting(9, 905.0, 0), (Spawn(9),))


def test_one_failure_more_than_allowed_in_a_row_is_fatal_and_tells_the_last_reason() -> None:
    state: lc.State = Starting(9, 900.0, 0)
    for _ in range(ALWAYS.max_failures):
        state = after(state, (Exited(9, BAD), at()))
        assert isinstance(state, Backoff)
        state = after(state, (Tick(), at(state.until)))
    state = after(state, (Exited(9, BAD), at()))
    assert state == Fatal(4, "gave up after 4 failures, the last: exited with status 1")
    assert deadline(state) == FOREVER


def test_a_fatal_unit_starts_only_when_somebody_asks() -> None:
    state = Fatal(4, "gave up")
    for event in (Tick(), GateChanged()):
        assert step(state, event, at(1e9)) == (state, ())
    assert step(state, Start(), at()) == (Starting(9, 900.0, 0), (Spawn(9),))


def test_a_unit_that_ran_long_enough_is_forgiven_its_failures() -> None:
    state = after(Running(1, 0.0, 3), (Exited(1, BAD), at(300.0)))
    assert state == Backoff(301.0, 1, "exited with status 1")


def test_a_unit_that_ran_a_moment_too_short_is_not_forgiven() -> None:
    state = after(Running(1, 0.0, 2), (Exited(1, BAD), at(299.9)))
    assert isinstance(state, Backoff)
    assert state.failures == 3


def test_a_unit_that_got_unhealthy_after_running_long_enough_is_forgiven() -> None:
    state = after(Running(1, 0.0, 3), (LostReadiness(1, "x"), at(300.0)), (Exited(1, BAD), at(301)))
    assert isinstance(state, Backoff)
    assert state.failures == 1


def test_time_without_readiness_forgives_nothing() -> None:
    state = after(Unhealthy(1, 0.0, 2, "x"), (BecameReady(1), at(1000)), (Exited(1, BAD), at(1001)))
    assert isinstance(state, Backoff)
    assert state.failures == 3


# -- stopping ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [Starting(1, 900.0, 0), Running(1, 0.0, 0), Unhealthy(1, 0.0, 0, "x")], ids=public
)
def test_a_stop_asks_the_unit_to_end_and_rests_when_it_did(state: lc.State) -> None:
    stopping, effects = step(state, Stop(), at(5.0))
    assert effects == (Terminate(1),)
    assert deadline(stopping) == 20.0
    assert after(stopping, (Exited(1, GOOD), at(6.0))) == Stopped()


def test_a_unit_that_does_not_end_in_time_is_killed() -> None:
    state, effects = step(Stopping(1, 15.0, Then.REST, 0, "stop requested"), Tick(), at(15.0))
    assert effects == (Kill(1),)
    assert reason_of(state) == "stop requested; SIGKILL sent"


def test_what_survives_a_kill_is_killed_again_and_said_to_be_alive() -> None:
    state = after(Stopping(1, 15.0, Then.REST, 0, "stop requested"), (Tick(), at(15.0)))
    assert deadline(state) == 15.0 + KILL_AGAIN_S
    state, effects = step(state, Tick(), at(20.0))
    assert effects == (Kill(1),)
    assert reason_of(state) == "stop requested; SIGKILL sent, yet alive (state D in ps?)"
    assert public(state) == "STOPPING"


def test_a_second_stop_in_a_hurry_brings_the_kill_forward() -> None:
    state = after(Running(1, 0.0, 0), (Stop(), at(0.0)), (Stop(), at(2.0, stop_within=1.0)))
    assert deadline(state) == 3.0


def test_a_second_stop_without_hurry_does_not_put_the_kill_off() -> None:
    state = after(Running(1, 0.0, 0), (Stop(), at(0.0)), (Stop(), at(14.0)))
    assert deadline(state) == 15.0


def test_a_timer_of_an_earlier_stop_does_not_kill_a_later_run_early() -> None:
    """Hazard read in pebble: its timer checks the state, but not whose stop it belongs to."""
    state = after(
        Running(1, 0.0, 0),
        (Stop(), at(0.0)),
        (Exited(1, GOOD), at(1.0)),
        (Start(), at(2.0, next_run=2)),
        (Stop(), at(10.0)),
    )
    assert step(state, Tick(), at(15.0)) == (state, ())
    assert deadline(state) == 25.0


def test_a_restart_by_the_operator_is_no_failure_and_has_no_delay() -> None:
    state = after(Running(1, 0.0, 3), (Stop(), at(1.0)), (Start(), at(1.5)))
    assert step(state, Exited(1, KILLED), at(2.0)) == (Starting(9, 902.0, 0), (Spawn(9),))


def test_a_stop_after_a_restart_was_asked_for_wins() -> None:
    state = after(Running(1, 0.0, 0), (Stop(), at()), (Start(), at()), (Stop(), at()))
    assert after(state, (Exited(1, GOOD), at())) == Stopped()


def test_a_stop_wins_over_the_retry_of_a_unit_that_was_not_ready_in_time() -> None:
    state = Stopping(1, 915.0, Then.RETRY, 0, "not ready within 900 s")
    assert after(state, (Stop(), at(901.0)), (Exited(1, GOOD), at(902.0))) == Stopped()


def test_a_stop_before_the_news_of_a_refused_spawn_ends_stopped() -> None:
    state = after(Starting(9, 900.0, 0), (Stop(), at()), (SpawnFailed(9, "busy"), at()))
    assert state == Stopped()


# -- trees that outlive their main process -----------------------------------------------------


@pytest.mark.parametrize("state", [Starting(1, 900.0, 2), Running(1, 0.0, 2)], ids=public)
def test_a_unit_whose_main_process_ended_is_not_running_while_its_tree_lives(state) -> None:
    lingering = after(state, (Lingering(1, "alive: pid 7"), at(5.0)))
    assert lingering == Unhealthy(1, 5.0, 2, "alive: pid 7")
    assert after(lingering, (Exited(1, BAD), at(6.0))) == Backoff(10.0, 3, "exited with status 1")


def test_a_stopping_unit_names_what_is_left_of_it_and_is_not_stopped() -> None:
    state = after(Running(1, 0.0, 0), (Stop(), at()), (Lingering(1, "alive: pid 7"), at()))
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
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_late_event_of_an_earlier_run_does_not_touch_the_new_one(event: lc.Event) -> None:
    for state in (Starting(2, 900.0, 0), Running(2, 0.0, 0), Stopping(2, 9.0, Then.REST, 0, "x")):
        assert step(state, event, at(5.0)) == (state, ())
