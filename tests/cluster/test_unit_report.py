"""What a node reports of a unit."""

import dataclasses

import pytest

from pdsup.cluster.own_report import OUTDATED, unit_report
from pdsup.cluster.report import from_json, to_json
from pdsup.units import states
from pdsup.units.facts import Facts, LastExit
from pdsup.units.process.exit import ExitStatus


def facts(state, **changes):
    given = {"pid": 7, "run": 3, "since": 1e9, "started": 5.0, "detail": "", "last_exit": None}
    return Facts(state=state, **{**given, **changes})


RUNNING = states.Running(3, 10.0, ())


def test_a_running_unit_is_ready(plan):
    found = unit_report(plan.by_name["decode-0"], facts(RUNNING))
    assert (found.state, found.ready, found.pid, found.reason) == ("RUNNING", True, 7, "")
    assert (found.name, found.kind, found.role, found.node) == (
        "decode-0", "worker", "decode", "node2",
    )  # fmt: skip
    assert found.ports == {"http": 30000}


def test_a_unit_is_halted_only_while_it_is_unhealthy(plan):
    unhealthy = facts(states.Unhealthy(3, 9.0, (), "its process 7 (engine) is stopped (state T)"))
    made = [
        unit_report(plan.by_name["decode-0"], what, halted=halted).halted
        for what in (unhealthy, facts(RUNNING))
        for halted in (True, False)
    ]
    assert made == [True, None, None, None]


def test_a_unit_that_is_drained_says_what_for(plan):
    draining = facts(states.Draining(3, 9.0, states.Then.REST, (), "stop requested"))
    found = unit_report(plan.by_name["router-0"], draining, drain="3 left")
    assert found.reason.endswith("waiting for those in flight; 3 left")
    assert unit_report(plan.by_name["router-0"], facts(RUNNING), drain="3 left").reason == ""


def test_a_running_unit_that_can_not_be_used_is_not_ready_and_says_why(plan):
    found = unit_report(plan.by_name["nginx"], facts(RUNNING), "no router is ready")
    assert (found.state, found.ready, found.reason) == ("RUNNING", False, "no router is ready")


@pytest.mark.parametrize(
    ("state", "word", "reason"),
    [
        (states.Stopped(), "STOPPED", ""),
        (states.Waiting((), "waits for etcd"), "WAITING", "waits for etcd"),
        (states.Starting(3, 9.0, ()), "STARTING", ""),
        (states.Unhealthy(3, 9.0, (), "HTTP 503"), "UNHEALTHY", "HTTP 503"),
        (states.Backoff(9.0, (0.0,), "killed by SIGKILL"), "BACKOFF", "killed by SIGKILL"),
        (states.Ended(ExitStatus(0)), "EXITED", "exited with status 0"),
        (states.Fatal((0.0, 0.0, 0.0), "gave up"), "FATAL", "gave up"),
    ],
)
def test_only_a_running_unit_is_ready_and_others_give_their_reason(plan, state, word, reason):
    found = unit_report(plan.by_name["nginx"], facts(state))
    assert (found.state, found.ready, found.reason) == (word, False, reason)


def test_the_reason_of_the_state_goes_before_details_and_these_before_what_is_unusable(plan):
    unit = plan.by_name["nginx"]
    waiting = states.Waiting((), "waits for etcd")
    assert unit_report(unit, facts(waiting, detail="d"), "u").reason == "waits for etcd"
    assert unit_report(unit, facts(RUNNING, detail="d"), "u").reason == "d"


@pytest.mark.parametrize("state", [states.Stopped(), states.Fatal((0.0,), "")])
def test_a_unit_that_does_not_run_gives_no_answers_that_clients_would_get(plan, state):
    found = unit_report(plan.by_name["nginx"], facts(state), "no router is ready")
    assert (found.ready, found.reason) == (False, "")


def test_a_short_reason_lacks_the_last_words_of_the_output_and_nothing_else(plan):
    dead = states.Backoff(9.0, (0.0,), "killed by SIGKILL", "one | two")
    lost = facts(dead, log_problem="its log is lost")
    found = unit_report(plan.by_name["nginx"], lost, outdated="waits for node1")
    words = "; cause unknown, last output: one | two"
    assert found.reason == f"killed by SIGKILL{words}; {OUTDATED}; waits for node1; its log is lost"
    assert found.short_reason == f"killed by SIGKILL; {OUTDATED}; waits for node1; its log is lost"


def test_a_reason_that_holds_other_bytes_than_text_can_be_reported(plan, report):
    held = states.Waiting((), "port 1 is held by pid 7 (\udcff\udc80 推論)", 9.0)
    found = unit_report(plan.by_name["nginx"], facts(held))
    assert found.reason == "port 1 is held by pid 7 (\\udcff\\udc80 推論)"
    sent = dataclasses.replace(report(), units=(found,))
    assert from_json(to_json(sent)) == sent


@pytest.mark.parametrize(("run", "restarts"), [(0, 0), (1, 0), (2, 1), (9, 8)])
def test_the_first_run_is_no_restart(plan, run, restarts):
    assert unit_report(plan.by_name["nginx"], facts(RUNNING, run=run)).restarts == restarts


@pytest.mark.parametrize(
    ("status", "code", "signal"),
    [(ExitStatus(3), 3, None), (ExitStatus(None, "SIGKILL"), None, "SIGKILL")],
)
def test_the_last_exit_is_a_code_or_a_signal(plan, status, code, signal):
    found = unit_report(plan.by_name["nginx"], facts(RUNNING, last_exit=LastExit(status, 5.0)))
    assert (found.last_exit.code, found.last_exit.signal, found.last_exit.at) == (code, signal, 5.0)
