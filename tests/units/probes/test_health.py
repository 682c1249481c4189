"""Answers, and what they add up to."""

from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate, repeat

import pytest

from pdsup.plan.engines import sglang
from pdsup.plan.model import Check, Probe
from pdsup.units.probes import health
from pdsup.units.probes.health import No, Signs, Tally, Unasked, Yes
from pdsup.units.process.tree import Seen

ASK = Probe(checks=(Check(port="http"),), period_s=10.0, timeout_s=5.0)
NO = No("HTTP 503")
CANNOT = Unasked("too many open files")


def probe(**changes) -> Probe:
    return Probe(**{"checks": ASK.checks, "period_s": 10.0, "timeout_s": 5.0, **changes})


def verdicts(asked: Probe, *answers, passing=None, every=1.0) -> list[bool | None]:
    """Whether the probe passes after each of these answers."""
    tally, found = Tally(passing=passing), []
    for number, answer in enumerate(answers):
        tally = health.step(asked, tally, answer, number * every)
        found.append(tally.passing)
    return found


def test_one_yes_is_enough_unless_more_are_wanted():
    assert verdicts(ASK, NO, Yes()) == [False, True]
    assert verdicts(probe(successes=3), Yes(), Yes(), NO, Yes(), Yes(), Yes()) == [
        *(None, None, False, False, False, True),
    ]


def test_so_many_failures_in_a_row_and_no_fewer_turn_the_answer():
    three = probe(failures=3)
    assert verdicts(three, NO, NO, Yes(), NO, NO, NO, passing=True) == [
        *(True, True, True, True, True, False),
    ]


def test_a_yes_counts_only_when_it_has_been_stable():
    stable = probe(stable_s=2.0)
    assert verdicts(stable, Yes(), Yes(), Yes()) == [None, None, True]
    assert verdicts(stable, Yes(), Yes(), NO, Yes(), Yes(), Yes()) == [
        *(None, None, False, False, False, True),
    ]


def test_a_question_that_could_not_be_asked_changes_nothing():
    assert verdicts(probe(failures=2), NO, CANNOT, CANNOT, passing=True) == [True, True, True]
    assert verdicts(probe(failures=2), NO, CANNOT, NO, passing=True) == [True, True, False]
    assert verdicts(ASK, CANNOT, CANNOT) == [None, None]


def test_of_many_checks_the_first_no_counts_and_else_the_first_that_could_not_be_asked():
    assert health.combined([Yes(), NO, No("other")]) == NO
    assert health.combined([CANNOT, NO]) == NO
    assert health.combined([Yes(), CANNOT]) == CANNOT
    assert health.combined([Yes(), Yes()]) == Yes()
    assert health.combined([]) == Yes()


# -- dead or busy ------------------------------------------------------------------------------

PATIENT = probe(failures=2, quiet_s=60.0)


def test_only_a_probe_that_fails_while_nothing_moves_means_dead():
    failing, passing = Tally(False, -2, 0.0), Tally(True, -1, 0.0)
    assert health.is_dead(PATIENT, failing, NO, 0.0, 60.0)
    assert not health.is_dead(PATIENT, failing, NO, 0.0, 59.0)
    assert not health.is_dead(PATIENT, failing, NO, 50.0, 100.0)
    assert not health.is_dead(PATIENT, passing, NO, 0.0, 1000.0)
    assert not health.is_dead(PATIENT, failing, CANNOT, 0.0, 1000.0)


def test_what_does_not_mend_itself_is_not_saved_by_what_moves():
    final = No("its process 5 (sglang::schedul) has died", final=True, seen=True)
    assert health.is_dead(PATIENT, Tally(False, -2, 0.0), final, 100.0, 100.0)
    assert not health.is_dead(PATIENT, Tally(True, -1, 0.0), final, 100.0, 100.0)


def test_counters_tell_better_than_output_whether_a_unit_works():
    still, moved = Signs(0.0, 5, counters=7.0), Signs(1.0, 9, counters=7.0)
    assert not health.works(still, moved)  # lines about a hang are no work
    assert health.works(still, Signs(1.0, 5, counters=8.0))
    assert health.works(Signs(0.0, 5), Signs(1.0, 6))
    assert not health.works(Signs(0.0, 5), Signs(1.0, 5, cpu_s=1.0))
    assert health.works(still, Signs(1.0, 6))  # they can't be read any more


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        ({}, False),
        ({"lines": 1}, True),
        ({"cpu_s": 0.4}, False),
        ({"cpu_s": 0.6}, True),
    ],
    ids=str,
)
def test_a_unit_loads_while_lines_or_cpu_time_grow(change, moved):
    after = Signs(**{"at": 5.0, "lines": 0, **change})
    assert health.loads(Signs(0.0, 0), after) == moved


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [(0, 1, True), (5, 6, True), (5, 5, False), (5, 4, False), (None, 5, False), (5, None, False)],
)
def test_a_unit_loads_while_its_memory_on_gpus_grows(before, after, moved):
    signs = Signs(0.0, 0, gpu_bytes=before), Signs(5.0, 0, gpu_bytes=after)
    assert health.loads(*signs) == moved


# -- processes ---------------------------------------------------------------------------------


def seen(name="sglang::schedul", state="S", started=7) -> Seen:
    return Seen(name, state, started)


def test_a_process_that_was_there_must_live_and_be_the_same():
    known = {5: seen()}
    assert health.check_processes(known, {4: seen("python"), 5: seen()}) == Yes()
    died = No("its process 5 (sglang::schedul) has died", final=True, seen=True)
    for now in (None, seen(state="Z"), seen(started=8)):
        assert health.check_processes(known, {5: now}) == died


def test_a_stopped_process_is_a_no_that_may_pass():
    for state in "Tt":
        answer = health.check_processes({}, {4: seen("python", state)})
        assert answer == No(f"its process 4 (python) is stopped (state {state})", seen=state == "T")


# -- ten thousand of them ----------------------------------------------------------------------


def questions(asked: Probe, chances: random.Random, until: float) -> list[float]:
    """When one unit that became ready at 0 is asked."""
    first = health.first_pause(asked, chances.random())
    pauses = (health.pause(asked, chances.random()) for _ in repeat(None))
    times = []
    for at in accumulate(pauses, initial=first):
        if at >= until:
            return times
        times.append(at)
    raise AssertionError


@pytest.mark.parametrize("kind", ["readiness", "liveness"])
def test_ten_thousand_units_that_became_ready_at_once_are_not_asked_at_once(kind):
    asked = sglang.WORKER_READINESS if kind == "readiness" else sglang.WORKER_LIVENESS
    chances = random.Random(7)
    buckets: Counter[int] = Counter()
    for _ in range(10_000):
        buckets.update(int(at * 10) for at in questions(asked, chances, until=100.0))
    mean = sum(buckets.values()) / 1000
    assert mean == pytest.approx(10_000 / (asked.period_s * 10), rel=0.1)
    assert max(buckets.values()) < 2 * mean  # in step it would be 100 times the mean
    assert min(buckets[i] for i in range(1000)) > 0.5 * mean


def test_without_jitter_and_a_first_pause_by_chance_they_would_march_in_step():
    """So that the test before can fail."""
    rigid = probe(jitter=0.0)
    times = [questions(rigid, random.Random(7), until=100.0) for _ in range(10)]
    assert all(one == times[0] for one in times)


@pytest.mark.parametrize(
    ("answer", "row", "moved", "at"),
    [
        (Yes(), 1, 0.0, None),
        (CANNOT, -1, 0.0, None),
        (NO, -1, 0.0, 120.0),
        (NO, -1, 90.0, 150.0),
        (NO, -3, 0.0, 100.0),
        (No("has died", final=True), -2, 99.0, 110.0),
    ],
)
def test_a_unit_is_found_dead_when_it_has_failed_and_stood_still_for_long_enough(
    answer, row, moved, at
):
    asked = probe(failures=3, quiet_s=60.0)
    assert health.dies_at(asked, Tally(row=row), answer, moved, 100.0) == at
