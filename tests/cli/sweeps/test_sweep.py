"""``pdsup run --points`` and ``pdsup results``, with real agents."""

import json
import sys

import pytest

# What bench_serving writes, in short.
WRITES = (
    'echo \'{"completed": 9, "total_output_tokens": 90, "output_throughput": 4.5}\''
    ' > "$PDSUP_RESULTS/out.jsonl"'
)


@pytest.fixture
def cluster(shared_agents):
    if not shared_agents.processes:
        shared_agents.start(shared_agents.plan(shared_agents.unit("a", gpus=[0, 1])))
    shared_agents.reaches("RUNNING", "a")
    return shared_agents


def points(agents, pdsup, *words):
    return json.loads(pdsup("results", str(agents.run_dir), "--json", *words).stdout)["points"]


def test_a_point_that_a_fault_spoiled_is_repeated_once_all_is_ready_again(cluster, pdsup_shared):
    journal = cluster.run_dir / "events" / "node0.jsonl"
    back = f'until [ $(grep -c \'"to": *"RUNNING"\' {journal}) -gt 1 ]; do :; done'
    kill = (
        f'[ "$PDSUP_POINT$PDSUP_ATTEMPT" = 81 ] && {sys.executable} -m pdsup signal KILL a &&'
        f" {{ {back}; }}; {WRITES}"
    )
    done = pdsup_shared("run", "--points", "1,8,64", "--", "sh", "-c", kill, "{}")
    assert done.returncode == 0, done.stderr
    counted = points(cluster, pdsup_shared)
    assert [(one["point"], one["verdict"], one["attempt"]) for one in counted] == [
        ("1", "clean", 1), ("8", "clean", 2), ("64", "clean", 1)
    ]  # fmt: skip
    assert [one["metrics"]["output_tokens_per_s"] for one in counted] == [4.5] * 3
    assert {one["gpus"] for one in counted} == {2}
    every = points(cluster, pdsup_shared, "--all")
    assert [(one["point"], one["verdict"]) for one in every] == [
        ("1", "clean"), ("8", "tainted"), ("8", "clean"), ("64", "clean")
    ]  # fmt: skip
    assert [one["unit"] for one in every[1]["incidents"]] == ["a"]
    record = json.loads((cluster.run_dir / "run.json").read_text())
    assert [one["verdict"] for one in record["points"]] == ["clean"] * 3
    assert [one["verdict"] for one in record["earlier"]] == ["clean", "tainted", "clean"]
    lines = pdsup_shared("results", str(cluster.run_dir)).stdout.splitlines()
    assert lines[0].split()[:3] == ["POINT", "VERDICT", "ATTEMPT"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["1", "clean", "1"], ["8", "clean", "2"], ["64", "clean", "1"]
    ]  # fmt: skip


def test_what_failed_is_not_repeated_and_a_resumed_sweep_measures_only_that(cluster, pdsup_shared):
    fixed = cluster.directory / "fixed"
    script = f'[ {{}} != b ] || [ -e {fixed} ] || exit 5; echo "measured {{}}"; {WRITES}'
    sweep = ("run", "--points", "a,b,c", "--resume", "--", "sh", "-c", script)
    done = pdsup_shared(*sweep)
    assert (done.returncode, done.stdout) == (3, "measured a\nmeasured c\n")
    assert "the command ended with 5" in done.stderr
    fixed.touch()
    done = pdsup_shared(*sweep)
    assert (done.returncode, done.stdout) == (0, "measured b\n")
    assert "clean already: a, c" in done.stderr
    assert [one["verdict"] for one in points(cluster, pdsup_shared)][-3:] == ["clean"] * 3


def test_a_sweep_ends_with_the_signal_that_its_command_got(cluster, pdsup_shared):
    ends = "kill -TERM $PPID; sleep 60"
    done = pdsup_shared("run", "--json", "--points", "x,y", "--", "sh", "-c", ends)
    first, second = json.loads(done.stdout)["points"]
    assert (done.returncode, first["verdict"]) == (3, "failed")
    assert first["why"] == "the command ended with 143 after SIGTERM"
    assert (second["verdict"], second["why"]) == ("not run", "SIGTERM came")


def test_no_point_is_begun_after_the_end_of_the_time(cluster, pdsup_shared):
    done = pdsup_shared("run", "--points", "5", "--until", "2020-01-01T00:00", "--", "false")
    assert done.returncode == 3
    assert "no more points: the time is over" in done.stderr


@pytest.mark.parametrize("words", [
    ["--points", "../x"], ["--points", "1,1"], ["--points", "1", "--repeats", "-1"],
    ["--points", "1", "--most-failed", "2"], ["--points", "1", "--until", "soon"], ["--resume"],
])  # fmt: skip
def test_wrong_options_are_refused_before_anything_runs(cluster, pdsup_shared, words):
    done = pdsup_shared("run", *words, "--", "touch", "ran")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not (cluster.directory / "ran").exists()


def test_a_run_without_points_says_how_to_make_some(cluster, pdsup_shared, tmp_path):
    for name in ("events", "plan.yaml"):
        (tmp_path / name).mkdir() if name == "events" else (tmp_path / name).touch()
    done = pdsup_shared("results", str(tmp_path))
    assert done.returncode == 4
    assert done.stderr.endswith("has none; pdsup run --points makes some\n")
