"""The verdict on a benchmark."""

import pytest

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


def test_a_restart_that_no_journal_tells_is_an_incident_too(unit, node, status):
    before = status(node("node2", [unit(run=1), unit("decode-1", run=3)]))
    after = status(node("node2", [unit(run=2, since=9.0), unit("decode-1", run=3)]))
    (found,) = benchmark_rules.unrecorded(before, after, [], 10.0)
    assert (found.unit, found.kind, found.began) == ("decode-0", "restart", 9.0)
    assert benchmark_rules.unrecorded(before, after, [KILLED], 10.0) == []
    reload = Incident("reload", "decode-0", "node2", 8.0, 8.0, "")
    assert benchmark_rules.unrecorded(before, after, [reload], 10.0) == [found]
