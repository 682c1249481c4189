"""The table of the benchmark, from samples."""

from bench import page
from bench.figures import FIGURES, p99

GOOD = {figure.of: [1e-6] for figure in FIGURES} | {"piped rate": [1e9], "piped loss": [0.0]}
UNITS = {"few": 3, "many": 5}


def cells(table, title):
    (row,) = (line for line in table.splitlines() if title in line)
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_of_a_hundred_samples_one_may_be_worse_than_the_99th_percentile():
    assert p99([*range(99), 1000]) == 98
    assert p99([2.0, 9.0, 3.0]) == 9.0


def test_a_row_has_a_value_for_each_supervisor_and_the_ratio_to_the_best_of_the_others():
    samples = {
        "pdsup": {"crash": [0.001, 0.002, 0.003]},
        "a": {"crash": [0.5]},
        "b": {"crash": [4]},
    }
    table = page.table(samples, **UNITS)
    row = cells(table, "crash to the replacement's exec, median, ms")
    assert row[1:] == ["<= 2", "2", "500", "4000", "0.004"]


def test_where_more_is_better_the_best_other_is_the_largest():
    samples = {
        "pdsup": {"piped rate": [8e8]},
        "a": {"piped rate": [4e8]},
        "b": {"piped rate": [1e8]},
    }
    assert cells(page.table(samples, **UNITS), "log through a pipe")[-1] == "2"


def test_what_nobody_was_asked_has_no_row_and_what_one_lacks_is_empty():
    table = page.table({"pdsup": {"idle": [0.0]}, "a": {"api": [0.1]}}, **UNITS)
    assert cells(table, "CPU with 3 idle units")[2:] == ["0", "", ""]
    assert "storm" not in table
    assert "log" not in table


def test_a_goal_that_is_missed_is_told_with_both_values():
    assert page.missed(GOOD, **UNITS) == []
    slow = GOOD | {"start many": [0.9], "piped rate": [1e8]}
    assert page.missed(slow, **UNITS) == [
        "start of 5 units to the last exec: 900 ms; wanted <= 450",
        "log through a pipe: 100 MB/s; wanted >= 700",
    ]
