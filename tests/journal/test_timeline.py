"""What a unit was at each moment, and a time axis that people can read."""

import itertools
import json

import pytest

from pdsup.journal import timeline
from pdsup.journal.entry import parse


def entry(at, to, reason=""):
    raw = {"at": at, "node": "n", "unit": "a", "from": "X", "to": to, "reason": reason}
    return parse(json.dumps(raw))


def spans(*entries, end=100):
    found = timeline.spans([entry(*one) for one in entries], end)
    return [(one.state, one.begin, one.end, one.reason) for one in found]


def test_spans_follow_each_other_without_a_gap_until_the_end():
    assert spans((1, "STARTING"), (5, "RUNNING"), (90, "BACKOFF", "killed")) == [
        ("STARTING", 1, 5, ""), ("RUNNING", 5, 90, ""), ("BACKOFF", 90, 100, "killed"),
    ]  # fmt: skip


def test_a_reason_that_changes_is_no_new_span():
    assert spans((1, "WAITING", "waits for a"), (5, "WAITING", "waits for b")) == [
        ("WAITING", 1, 100, "waits for a")
    ]


def test_a_clock_that_was_set_back_makes_no_span_of_negative_length():
    assert all(end >= begin for _, begin, end, _ in spans((9, "STARTING"), (5, "RUNNING"), end=3))


def test_nothing_has_no_spans():
    assert spans() == []


@pytest.mark.parametrize("length", [0.5, 1, 7, 59, 600, 7261, 86400, 30 * 86400])
@pytest.mark.parametrize("offset", [0, 3600, -19800])
def test_an_axis_has_a_few_round_times_within_it(length, offset):
    begin = 1795435213.7
    found = timeline.ticks(begin, begin + length, offset)
    assert len(found) <= 8
    assert all(begin <= at <= begin + length for at in found)
    assert len(found) >= (2 if length > 2 else 0)
    steps = {round(b - a) for a, b in itertools.pairwise(found)}
    assert len(steps) <= 1
    assert all((at + offset) % step == 0 for at in found for step in steps)
