"""The charts of a sweep."""

from dataclasses import replace

import pytest

from pdsup.cli.results import curves, metrics
from pdsup.cli.results.results_rules import Attempt


def row(point, per_gpu, tpot, verdict="clean", **more):
    told = {"completed": 9, "total_output_tokens": 9, "output_throughput": per_gpu * 4,
            "median_tpot_ms": tpot, "median_ttft_ms": 10.0, "p99_ttft_ms": 90.0}  # fmt: skip
    return Attempt(
        point=point, verdict=verdict, attempt=1, gpus=4, metrics=metrics.of({**told, **more})
    )


ONE, EIGHT, MANY = row("1", 5, 5.0), row("8", 40, 8.0), row("64", 90, 20.0)
SPOILED = row("8", 20, 12.0, "tainted")
ROWS = [ONE, EIGHT, MANY]


def test_a_point_gives_its_users_tokens_at_the_rate_of_its_gaps():
    assert curves.interactivity(ONE) == 200.0
    assert curves.interactivity(row("1", 5, None, median_itl_ms=10.0)) == 100.0
    assert curves.interactivity(replace(ONE, metrics=None)) is None


def test_the_curve_goes_through_the_clean_points_by_interactivity():
    throughput, _ = curves.charts(ROWS, ROWS)
    (series,) = throughput["series"]
    places = [tuple(map(float, pair.split(","))) for pair in series["line"].split()]
    assert places == sorted(places)
    assert [y for _, y in places] == sorted(y for _, y in places)  # downwards is less
    assert [dot["label"] for dot in series["dots"]] == ["1", "8", "64"]
    for x, y in places:
        assert throughput["left"] <= x <= throughput["right"]
        assert throughput["top"] <= y <= throughput["bottom"]


def test_spoiled_attempts_are_faint_and_not_part_of_the_curve():
    failed = row("256", 95, 50.0, "failed")
    throughput, latency = curves.charts([*ROWS, failed], [ONE, SPOILED, EIGHT, MANY, failed])
    (series,) = throughput["series"]
    faint = [dot for dot in series["dots"] if dot["faint"]]
    assert [dot["title"].split(",")[-1] for dot in faint] == [" tainted", " failed"]
    assert len(series["line"].split()) == 3
    assert [tick["text"] for tick in latency["x_ticks"]] == ["1", "8", "64"]


@pytest.mark.parametrize("highest", [0.003, 0.9, 1, 7, 99, 100, 101, 12345, 4e6])
def test_an_axis_ends_after_the_highest_value_and_has_a_few_lines(highest):
    throughput, _ = curves.charts([row("1", highest, 5.0)], [])
    ticks = [float(tick["text"].replace(",", "")) for tick in throughput["y_ticks"]]
    assert ticks[0] == 0
    assert ticks[-1] >= highest
    assert 3 <= len(ticks) <= 8


def test_latencies_are_shown_over_decades():
    _, latency = curves.charts(ROWS, ROWS)
    assert [one["name"] for one in latency["series"]] == ["TTFT p99", "TTFT p50", "TPOT p50"]
    assert [tick["text"] for tick in latency["y_ticks"]] == ["1", "10", "100"]


@pytest.mark.parametrize("found", [None, metrics.of({"completed": 9, "output_throughput": 5.0})])
def test_points_without_numbers_have_no_charts(found):
    assert curves.charts([replace(ONE, metrics=found)], []) == []
