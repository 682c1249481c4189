"""The verdict on a benchmark."""

from dataclasses import replace

import pytest

from pdsup.answers.checks import FreshNo
from pdsup.cli import benchmark_rules
from pdsup.cli.benchmark_rules import Benchmark
from pdsup.cli.terminal.fold import folded
from pdsup.journal.incidents import Incident

NOW = 1795435200.0  # 2026-11-23 12:00:00 UTC


def benchmark(*incidents):
    return Benchmark(
        command=["./bench", "-n", "5"], cluster="demo", plan="d" * 64, began=NOW - 754, ended=NOW,
        status=0, incidents=incidents,
    )  # fmt: skip


KILLED = Incident("restart", "decode-0", "node2", NOW - 60, NOW - 55.5, "killed by SIGKILL")
RELOAD = Incident("reload", "nginx", "node0", NOW - 58, NOW - 58, "1 router, router-1 out")
REFUSED = Incident("reload-failed", "nginx", "node0", NOW - 50, NOW - 50, "no space left")
LOST = Incident("node", "", "node3", NOW - 9, None, "cannot reach its agent: timed out")


@pytest.mark.usefixtures("utc")
@pytest.mark.parametrize("width", [80, 160])
def test_a_tainted_verdict_looks_as_it_was_looked_at(golden, width):
    golden(
        f"verdict-{width}",
        folded(benchmark_rules.lines(benchmark(KILLED, RELOAD, REFUSED, LOST)), width),
    )


def test_a_clean_verdict_is_one_line():
    assert benchmark_rules.lines(benchmark()) == ["clean: nothing happened in 12 min 34 s"]


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"status": 124}, ", but the command ended with 124"),
        ({"status": 143, "passed_on": ["SIGTERM"]},
         ", but the command ended with 143; SIGTERM passed on to it"),
        ({"passed_on": ["SIGUSR1", "SIGTERM"]},
         ", and the command ended with 0; SIGUSR1 and SIGTERM passed on to it"),
    ],
)  # fmt: skip
def test_a_command_that_failed_or_was_ended_is_told_beside_the_verdict(changes, end):
    (line,) = benchmark_rules.lines(replace(benchmark(), **changes))
    assert line == f"clean: nothing happened in 12 min 34 s{end}"


def test_a_unit_that_answers_badly_when_it_is_asked_afresh_taints_unless_that_is_known():
    wrong = [FreshNo(unit=name, node="n", problem="HTTP 503", since=NOW - 9) for name in ("a", "b")]
    known = [Incident("unhealthy", "a", "n", NOW - 30, None, "HTTP 503"),
             Incident("restart", "b", "n", NOW - 50, NOW - 40, "killed")]  # fmt: skip
    (found,) = benchmark_rules.not_well(wrong, known)
    assert found == Incident("unhealthy", "b", "n", NOW - 9, None, "HTTP 503")


@pytest.mark.parametrize(
    ("state", "kind"),
    [("UNHEALTHY", "unhealthy"), ("FATAL", "fatal"), ("BACKOFF", "down"), ("STOPPED", "down")],
)
def test_a_unit_that_is_not_up_at_the_end_taints_though_no_journal_tells_it(
    unit, node, status, state, kind
):
    before, after = (status(node("n", [unit(state=each)])) for each in ("RUNNING", state))
    (found,) = benchmark_rules.unrecorded(before, after, [], NOW)
    assert (found.kind, found.unit) == (kind, "decode-0")


def test_the_record_holds_all_that_was_judged():
    found = benchmark_rules.record(benchmark(KILLED))
    assert (found["verdict"], found["seconds"], found["status"]) == ("tainted", 754.0, 0)
    assert found["command"] == ["./bench", "-n", "5"]
    assert found["incidents"] == [{
        "kind": "restart", "unit": "decode-0", "node": "node2", "began": NOW - 60,
        "ended": NOW - 55.5, "what": "killed by SIGKILL",
    }]  # fmt: skip


def test_a_node_that_can_not_be_asked_is_an_incident_until_it_can(node, status):
    away = status(node("node0"), node("node1", problem="timed out"))
    back = status(node("node0"), node("node1"))
    once = benchmark_rules.lost_nodes([], away, 5.0)
    assert [(one.kind, one.node, one.began, one.ended, one.what) for one in once] == [
        ("node", "node1", 5.0, None, "timed out")
    ]
    assert benchmark_rules.lost_nodes(once, away, 6.0) == once
    (ended,) = benchmark_rules.lost_nodes(once, back, 7.0)
    assert ended.ended == 7.0
    again = benchmark_rules.lost_nodes([ended], away, 8.0)
    assert [(one.began, one.ended) for one in again] == [(5.0, 7.0), (8.0, None)]


def test_a_lost_node_that_the_journal_tells_of_counts_once():
    seen = [Incident("node", "", node, 5.0, None, "timed out") for node in ("node1", "node2", "")]
    told = [Incident("node", "", "node1", 4.5, 9.0, "node1: why"), KILLED]
    assert [one.node for one in benchmark_rules.not_in_journal(seen, told)] == ["node2", ""]


def test_no_agent_at_all_is_an_incident_of_the_cluster():
    (lost,) = benchmark_rules.lost_nodes([], None, 5.0)
    assert lost.what == "no agent answers on this machine"
    assert benchmark_rules.lines(benchmark(lost))[1].split()[2:6] == [
        "the",
        "cluster",
        "did",
        "not",
    ]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"state": "RUNNING", "since": 9.0}, ("restart", 7.0, 9.0, "killed by SIGKILL")),
        ({"state": "FATAL", "since": 8.0, "reason": "gave up"}, ("fatal", 7.0, None, "gave up")),
        ({"state": "STARTING", "since": 8.0}, ("down", 7.0, None, "its journal does not say why")),
    ],
    ids=str,
)
def test_of_a_restart_that_no_journal_tells_its_cause_and_its_times_are_told(
    unit, node, status, now, told
):
    before = status(node("node2", [unit(run=1)]))
    last = {"code": None, "signal": "SIGKILL", "at": 7.0}
    after = status(node("node2", [unit(run=2, last_exit=last, **now)]))
    (one,) = benchmark_rules.unrecorded(before, after, [], 10.0)
    assert (one.kind, one.began, one.ended, one.what) == told


def test_a_restart_that_no_journal_tells_is_an_incident_too(unit, node, status):
    before = status(node("node2", [unit(run=1), unit("decode-1", run=3)]))
    after = status(node("node2", [unit(run=2, since=9.0), unit("decode-1", run=3)]))
    (found,) = benchmark_rules.unrecorded(before, after, [], 10.0)
    assert (found.unit, found.kind, found.began) == ("decode-0", "restart", 9.0)
    assert benchmark_rules.unrecorded(before, after, [KILLED], 10.0) == []
    reload = Incident("reload", "decode-0", "node2", 8.0, 8.0, "")
    assert benchmark_rules.unrecorded(before, after, [reload], 10.0) == [found]


def test_an_outage_that_the_status_says_is_over_ended_then_though_no_journal_tells_it(
    unit, node, status
):
    """As on a full disk."""
    up = status(node("n", [unit(state="RUNNING", since=NOW - 30)]))
    down = status(node("n", [unit(state="BACKOFF", since=NOW - 30)]))
    open_ = Incident("restart", "decode-0", "n", NOW - 60, None, "killed")
    assert benchmark_rules.settled([open_], up, NOW - 20, NOW) == []
    (ended,) = benchmark_rules.settled([open_], up, NOW - 40, NOW)
    assert ended.ended == NOW - 30
    assert benchmark_rules.settled([open_], down, NOW - 20, NOW) == [open_]
    other = Incident("reload", "decode-0", "n", NOW - 60, None, "")
    assert benchmark_rules.settled([other], up, NOW - 20, NOW) == [other]
