"""The files of results."""

import csv
import json
import os
from dataclasses import replace

import pytest

from pdsup.cli.results import metrics, results
from pdsup.cli.results.results_rules import Attempt, Results
from pdsup.errors import SupervisorError

TOLD = {"completed": 90, "total_output_tokens": 900, "output_throughput": 90.0, "p99_ttft_ms": 5.0}
ROW = Attempt(
    point="8", verdict="clean", attempt=2, sweep=1, began=5.0, ended=9.0, seconds=4.0, status=0,
    metrics=metrics.of(TOLD), gpus=4, command=("b", "{}"), directory="results/8-2", plan="d",
    version="1",
)  # fmt: skip
SPOILED = replace(ROW, verdict="tainted", attempt=1, why="fault, with a comma", metrics=None)
FOUND = Results(cluster="demo", alike="a", points=("8", "64"), attempts=(SPOILED, ROW))


def test_results_are_read_as_they_were_written(tmp_path):
    results.write(tmp_path, FOUND)
    assert results.read(tmp_path) == FOUND


def test_the_table_for_a_spreadsheet_has_a_line_for_each_point(tmp_path):
    results.write(tmp_path, FOUND)
    first, second = csv.DictReader((tmp_path / "results/points.csv").read_text().splitlines())
    assert (first["point"], first["verdict"], first["attempt"]) == ("8", "clean", "2")
    assert (first["output_tokens_per_s_per_gpu"], first["ttft_ms_p99"]) == ("22.5", "5.0")
    assert (second["point"], second["verdict"], second["ttft_ms_p99"]) == ("64", "not run", "")


def test_a_run_without_points_has_no_results(tmp_path):
    assert results.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"attempts": [{"point": 5}]}', "[" * 100_000])
def test_damaged_results_are_refused_with_their_place(tmp_path, text):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/points.json").write_text(text)
    with pytest.raises(SupervisorError, match=r"cannot read .*points.json: "):
        results.read(tmp_path)


def test_a_measurement_never_gets_the_directory_of_another(tmp_path):
    number, first = results.place(tmp_path, "8", 1)
    again, second = results.place(tmp_path, "8", 1)
    assert (number, again) == (1, 2)
    assert (first.name, second.name) == ("8-1", "8-2")


def test_the_newest_file_of_a_known_tool_counts(tmp_path):
    (tmp_path / "deep").mkdir()
    old, new = tmp_path / "a.json", tmp_path / "deep" / "b.jsonl"
    old.write_text(json.dumps({**TOLD, "completed": 1}))
    new.write_text(f"{json.dumps({**TOLD, 'completed': 2})}\n{json.dumps(TOLD)}\n\n")
    for number, path in enumerate((old, new)):
        os.utime(path, (number, number))
    (tmp_path / "inputs.json").write_text("[1, 2]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "text.txt").write_text("no")
    os.mkfifo(tmp_path / "pipe.json")
    assert results.measured(tmp_path).requests == 90


def test_without_such_a_file_nothing_was_measured(tmp_path):
    assert results.measured(tmp_path) is None


def test_clean_points_of_the_last_run_of_the_same_plan_are_found(tmp_path):
    runs = [tmp_path / name for name in ("run-1", "run-2", "other", "broken", "now")]
    for path in runs:
        path.mkdir()
    results.write(runs[0], replace(FOUND, attempts=(replace(ROW, attempt=7),)))
    results.write(runs[1], replace(FOUND, attempts=(replace(ROW, ended=10.0),)))
    results.write(runs[2], replace(FOUND, alike="b", attempts=(replace(ROW, ended=99.0),)))
    (runs[3] / "results").mkdir()
    (runs[3] / "results/points.json").write_text("{")
    (found,) = results.earlier(runs[4], "a", ("b", "{}"))
    assert (found.attempt, found.directory) == (2, f"{runs[1]}/results/8-2")
    assert results.earlier(runs[4], "a", ("b",)) == []
