"""Which point is measured next, and which measurement counts."""

from dataclasses import replace

import pytest

from pdsup.cli.benchmark_rules import Benchmark
from pdsup.cli.results import metrics, results_rules
from pdsup.cli.results.results_rules import Attempt
from pdsup.cli.sweeps import sweep_rules
from pdsup.errors import WrongUsage
from pdsup.journal.incidents import Incident

NOW = 1795435200.0
CLEAN = Benchmark(
    command=["b"], cluster="demo", plan="d", began=NOW - 60, ended=NOW, status=0, incidents=()
)
KILLED = Incident("restart", "decode-0", "node2", NOW - 50, NOW - 45, "killed by SIGKILL")
RELOAD = Incident("reload", "nginx", "node0", NOW - 50, NOW - 50, "1 router")


def attempts(*verdicts, point="8", sweep=1, seconds=60.0):
    return [
        Attempt(point=point, verdict=verdict, attempt=number, sweep=sweep, seconds=seconds)
        for number, verdict in enumerate(verdicts, 1)
    ]


def numbers(**changes):
    told = {"completed": 90, "failed": 0, "total_output_tokens": 900, "output_throughput": 9.0}
    return metrics.of({**told, **changes})


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("1,8,64", ("1", "8", "64")),
        ("4x8x16", ("4", "8", "16")),
        ("8", ("8",)),
        ("isl1k, isl8k", ("isl1k", "isl8k")),
        ("0.5,1", ("0.5", "1")),
    ],
)
def test_points_are_words_between_commas_or_numbers_between_x(text, points):
    assert sweep_rules.parsed(text) == points


@pytest.mark.parametrize("text", ["", ",", "1,", "../x", "a/b", ".", "-1", "a b", "1,1", "é", "1x1",
                                  ",".join(map(str, range(1001))), "x" * 65])  # fmt: skip
def test_what_can_be_no_point_is_refused(text):
    with pytest.raises(WrongUsage, match="--points"):
        sweep_rules.parsed(text)


def test_a_command_has_places_for_the_point_and_what_depends_on_it():
    words = ["b", "-c", "{}", "--out={results}/{}.json", "-n{*10}", "{url}/v1", '{"a": {"b": 1}}']
    assert sweep_rules.filled(words, "8", "/r/8-1", "http://n:8000") == [
        "b", "-c", "8", "--out=/r/8-1/8.json", "-n80", "http://n:8000/v1", '{"a": {"b": 1}}'
    ]  # fmt: skip


def test_only_a_number_can_be_multiplied():
    sweep_rules.check(["1", "8"], ["{*10}"])
    sweep_rules.check(["small"], ["{}"])
    with pytest.raises(WrongUsage, match=r"takes whole numbers, not point small"):
        sweep_rules.check(["1", "small"], ["-n{*10}"])


def test_points_are_measured_in_their_order():
    done = attempts("clean", point="1")
    assert sweep_rules.next_point(["1", "8"], [], 2) == "1"
    assert sweep_rules.next_point(["1", "8"], done, 2) == "8"
    assert sweep_rules.next_point(["1"], done, 2) is None


@pytest.mark.parametrize(("verdicts", "again"), [
    (["tainted"], True), (["tainted"] * 2, True), (["tainted"] * 3, False),
    (["failed"], False), (["tainted", "failed"], False), (["tainted", "clean"], False),
])  # fmt: skip
def test_only_what_a_fault_spoiled_is_measured_again_and_not_for_ever(verdicts, again):
    found = sweep_rules.next_point(["8"], attempts(*verdicts), 2)
    assert found == ("8" if again else None)


def test_the_first_clean_measurement_counts_else_the_last():
    assert results_rules.counted(attempts("tainted", "clean", "clean"), "8").attempt == 2
    assert results_rules.counted(attempts("tainted", "failed"), "8").attempt == 2
    assert results_rules.counted([], "8") is None


def test_a_later_sweep_replaces_an_earlier_one():
    both = attempts("clean") + attempts("tainted", sweep=2)
    assert results_rules.counted(both, "8").verdict == "tainted"


def test_a_point_that_was_not_measured_has_a_row_that_says_why():
    first, second = results_rules.rows(["8", "64"], attempts("clean"), "the time is over")
    assert (first.verdict, second.verdict, second.why) == ("clean", "not run", "the time is over")


def test_a_fault_taints_whatever_the_numbers_are():
    verdict, why = sweep_rules.judged(replace(CLEAN, incidents=[KILLED, RELOAD]), numbers(), 0.05)
    assert verdict == "tainted"
    assert "decode-0 (node2) was restarted, down for 5 s: killed by SIGKILL (and 1 more)" in why


@pytest.mark.parametrize(("changes", "found", "why"), [
    ({"status": 7}, numbers(), "the command ended with 7"),
    ({"status": 143, "passed_on": ["SIGTERM"]}, None, "the command ended with 143 after SIGTERM"),
    ({}, numbers(completed=0), "the command ended with 0, but no request was answered"),
    ({}, numbers(total_output_tokens=0), "the command ended with 0, but no token came"),
    ({}, numbers(failed=30, completed=70), "30 of 100 requests failed"),
])  # fmt: skip
def test_a_measurement_without_good_numbers_is_not_clean(changes, found, why):
    assert sweep_rules.judged(replace(CLEAN, **changes), found, 0.05) == ("failed", why)


@pytest.mark.parametrize("found", [None, numbers(), numbers(failed=4, completed=96)])
def test_a_measurement_that_nothing_spoiled_is_clean(found):
    assert sweep_rules.judged(CLEAN, found, 0.05) == ("clean", "")


def test_a_point_is_begun_while_there_is_time_for_it():
    took = attempts("tainted", seconds=100.0)
    assert sweep_rules.fits(took, "8", NOW, None)
    assert sweep_rules.fits(took, "8", NOW, NOW + 101)
    assert not sweep_rules.fits(took, "8", NOW, NOW + 99)
    assert sweep_rules.fits(took, "64", NOW, NOW + 1)
    assert not sweep_rules.fits([], "64", NOW, NOW)


def test_the_time_that_is_left_is_that_of_the_points_before():
    done = attempts("tainted", "clean", point="1", seconds=30.0)
    assert sweep_rules.left(["1", "8", "64"], []) is None
    assert sweep_rules.left(["1", "8", "64"], done) == 60.0


def test_only_clean_measurements_of_the_same_command_are_taken_over():
    own = [replace(one, command=("b", "{}")) for one in attempts("tainted", "clean")]
    own += [replace(one, command=("b", "{}")) for one in attempts("failed", point="64")]
    found = results_rules.resumed(["1", "8", "64"], own, ("b", "{}"))
    assert [(one.point, one.attempt) for one in found] == [("8", 2)]
    assert results_rules.resumed(["8"], own, ("other", "{}")) == []
