"""What disturbed a cluster within a time."""

import json

import pytest

from pdsup.journal.entry import Loss, loss_line, parse
from pdsup.journal.incidents import incidents

KILLED = {"type": "Exited", "run": 1, "status": {"code": None, "signal": "SIGKILL"}}
DONE = {"type": "Exited", "run": 1, "status": {"code": 0, "signal": None}}


def entry(at, before, to, reason="", event="Tick", unit="decode-0", node="node2"):
    return parse(json.dumps({
        "at": at, "node": node, "unit": unit, "run": 1, "event": event, "from": before, "to": to,
        "reason": reason,
    }))  # fmt: skip


UP = [entry(1, "STOPPED", "STARTING"), entry(2, "STARTING", "RUNNING")]
RESTART = [
    entry(10, "RUNNING", "BACKOFF", "killed by SIGKILL", KILLED),
    entry(11, "BACKOFF", "STARTING"), entry(13, "STARTING", "RUNNING"),
]  # fmt: skip


def found(*entries, begin=5, end=20):
    return [(one.kind, one.began, one.ended, one.what) for one in incidents(entries, begin, end)]


def test_a_cluster_that_came_up_before_has_no_incidents():
    assert found(*UP) == []


def test_a_unit_that_died_and_came_back_is_one_incident_until_it_was_running_again():
    assert found(*UP, *RESTART) == [("restart", 10.0, 13.0, "killed by SIGKILL")]


@pytest.mark.parametrize("event", ["LostReadiness", "FoundDead"])
def test_an_outage_reaches_back_to_when_the_unit_was_last_known_to_be_well(event):
    """By the monotonic clock: it was asked 90 s before it was given up, and answered."""
    line = dict(entry(110, "RUNNING", "UNHEALTHY", "no answer within 25 s").raw)
    line |= {"monotonic": 1000.0, "event": {"type": event, "run": 1, "since": 910.0}}
    assert found(*UP, parse(json.dumps(line)), begin=15, end=25) == [
        ("unhealthy", 20.0, None, "no answer within 25 s")
    ]
    line["event"]["since"] = None
    assert found(*UP, parse(json.dumps(line)), begin=15, end=25) == []


def test_a_unit_that_was_not_ready_for_a_while_was_unhealthy():
    entries = [entry(10, "RUNNING", "UNHEALTHY", "HTTP 503"), entry(12, "UNHEALTHY", "RUNNING")]
    assert found(*UP, *entries) == [("unhealthy", 10.0, 12.0, "HTTP 503")]


def test_an_outage_that_got_worse_is_named_for_the_worst_and_keeps_its_cause():
    entries = [
        entry(10, "RUNNING", "UNHEALTHY", "HTTP 503"),
        entry(12, "UNHEALTHY", "BACKOFF", "exited with status 1"),
        entry(13, "BACKOFF", "FATAL", "gave up"),
    ]
    assert found(*UP, *entries) == [("fatal", 10.0, None, "HTTP 503")]


def test_a_unit_that_was_stopped_is_down():
    entries = [entry(10, "RUNNING", "STOPPING", "stop requested"), entry(11, "STOPPING", "STOPPED")]
    assert found(*UP, *entries) == [("down", 10.0, None, "stop requested")]


@pytest.mark.parametrize(
    ("event", "asked"), [({"type": "Stop"}, True), ({"type": "Restart"}, False), (KILLED, False)]
)
def test_an_outage_was_asked_for_where_a_stop_began_it_whatever_its_reason_says(event, asked):
    ends = [entry(10, "RUNNING", "STOPPING", "some words", event), entry(11, "STOPPING", "STOPPED")]
    (one,) = incidents([*UP, *ends], 5, 20)
    assert one.asked is asked


def test_a_unit_that_has_done_its_work_is_no_incident():
    assert found(*UP, entry(10, "RUNNING", "EXITED", "exited with status 0", DONE)) == []


def test_a_unit_whose_agent_died_with_it_is_told_from_what_its_last_state_was():
    entries = [entry(10, "STOPPED", "STARTING"), entry(12, "STARTING", "RUNNING")]
    gone = "it was gone when its agent came back"
    assert found(*UP, *entries) == [("restart", 10.0, 12.0, gone)]


def test_an_agent_that_took_its_unit_over_running_is_no_incident():
    assert found(*UP, entry(10, "STOPPED", "RUNNING")) == []


def test_a_reason_that_changes_is_no_incident():
    assert found(*UP, entry(10, "RUNNING", "RUNNING", "slow")) == []


@pytest.mark.parametrize(
    ("begin", "end", "count"),
    [(0, 9, 0), (0, 10, 1), (11, 12, 1), (13, 20, 1), (13.1, 20, 0), (0, 100, 1)],
)
def test_only_outages_that_overlap_the_time_count(begin, end, count):
    assert len(found(*UP, *RESTART, begin=begin, end=end)) == count


def test_an_outage_that_goes_on_since_before_counts():
    assert len(found(*UP, *RESTART[:1], begin=50, end=60)) == 1


def reload(at, event="Reloaded"):
    return parse(json.dumps({
        "at": at, "node": "node0", "unit": "nginx", "run": 1, "event": {"type": event},
        "reason": "1 router, router-1 out",
    }))  # fmt: skip


@pytest.mark.parametrize(
    ("event", "kind"), [("Reloaded", "reload"), ("ReloadFailed", "reload-failed")]
)
def test_a_reload_of_nginx_is_over_at_once_and_no_outage(event, kind):
    up = [entry(at, before, to, unit="nginx") for at, before, to in
          [(1, "STOPPED", "STARTING"), (2, "STARTING", "RUNNING")]]  # fmt: skip
    expected = [(kind, 10.0, 10.0, "1 router, router-1 out")]
    assert found(*up, reload(10, event)) == expected
    assert found(*up, reload(10, event), begin=10.1) == []
    assert found(*up, reload(10, event), end=9.9) == []


def test_a_reload_in_the_midst_of_an_outage_ends_no_outage_and_begins_none():
    mine = [entry(at, before, to, unit="nginx") for at, before, to in
            [(10, "RUNNING", "UNHEALTHY"), (14, "UNHEALTHY", "RUNNING")]]  # fmt: skip
    between = found(mine[0], reload(12), mine[1], reload(16))
    assert [one[:3] for one in between] == [
        ("unhealthy", 10.0, 14.0), ("reload", 12.0, 12.0), ("reload", 16.0, 16.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("begins", "ends", "kind"),
    [("GpusThrottled", "GpusUnthrottled", "gpu-throttled"), ("GpusLost", "GpusBack", "gpu-lost")],
)
def test_trouble_with_gpus_is_an_incident_from_its_begin_to_its_end(begins, ends, kind):
    def gpus(at, event, what=""):
        raw = {"at": at, "node": "n", "unit": "a", "run": 1, "event": {"type": event},
               "reason": what}  # fmt: skip
        return parse(json.dumps(raw))

    more = [gpus(7, begins, "GPU 0"), gpus(9, begins, "GPUs 0, 1"), gpus(12, ends)]
    assert found(*more) == [(kind, 7.0, 12.0, "GPU 0")]
    assert found(*more[:2]) == [(kind, 7.0, None, "GPU 0")]
    assert found(*more, gpus(15, begins)) == [(kind, 7.0, 12.0, "GPU 0"), (kind, 15.0, None, "")]
    assert found(more[2]) == []
    assert found(*more, begin=13) == []


@pytest.mark.parametrize("facts", [{"problem": "why"}, {}], ids=["now", "0.1.0"])
def test_a_node_that_was_lost_is_an_incident_of_that_node_whoever_tells(facts):
    def node(at, event, of):
        raw = {"at": at, "node": "node0", "unit": None, "run": None,
               "event": {"type": event, "node": of, **facts}, "reason": f"{of}: why"}  # fmt: skip
        return parse(json.dumps(raw))

    entries = [node(7, "NodeLost", "node2"), node(8, "NodeLost", "node3"),
               node(9, "NodeBack", "node2")]  # fmt: skip
    told = [(one.kind, one.node, one.ended, one.what) for one in incidents(entries, 5, 20)]
    assert told == [("node", "node2", 9.0, "why"), ("node", "node3", None, "why")]


def test_a_gap_in_a_journal_is_an_incident_of_its_node_from_the_first_event_that_was_lost():
    entries = [parse(loss_line(Loss(3, 7.0, "disk full"), "node1", 1.0, 12.0))]
    (gap,) = incidents(entries, 5, 20)
    assert (gap.kind, gap.unit, gap.node, gap.began, gap.ended) == (
        "events-lost", "", "node1", 7.0, 12.0,
    )  # fmt: skip
    assert gap.what.endswith("are missing here: disk full")
    assert incidents(entries, 13, 20) == []


def test_outages_come_in_order_and_entries_of_nodes_are_left_out():
    other = [entry(9, "RUNNING", "BACKOFF", "x", unit="a", node="node1")]
    node = [entry(9, "", "", unit="")]
    units = [one.unit for one in incidents([*UP, *RESTART, *other, *node], 5, 20)]
    assert units == ["a", "decode-0"]
