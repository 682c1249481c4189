"""Longer jobs under real Slurm, run when PDSUP_TEST_LONG is set: 5 to 10 minutes."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.bed.machines import until
from tests.bed.slurm import Slurm, lacking
from tests.system.cluster import PDSUP
from tests.system.job import CLIENT, Job, left, newest, requests

LONG = "takes minutes; set PDSUP_TEST_LONG=1"
pytestmark = [
    pytest.mark.skipif(bool(lacking()), reason=lacking() or ""),
    pytest.mark.skipif(not os.environ.get("PDSUP_TEST_LONG"), reason=LONG),
    pytest.mark.timeout(900),
]
KILL_WAIT_S = 30
NO_KILL = {"sbatch_directives": {"no-kill": True}, "srun_options": {"no-kill": True}}
EIGHT = {
    "gpus_per_node": 8, "prefill_nodes": 4, "prefill_workers": 4, "decode_nodes": 4,
    "decode_workers": 4,
}  # fmt: skip
WIDE = {
    "gpus_per_node": 8, "prefill_nodes": 2, "prefill_workers": 2, "decode_nodes": 2,
    "decode_workers": 1,
}  # fmt: skip


@pytest.fixture(params=["cgroup", "linuxproc"])
def eight(request: pytest.FixtureRequest) -> Iterator[Slurm]:
    with Slurm(8, proctrack=request.param, kill_wait=KILL_WAIT_S) as made:
        yield made


@pytest.fixture
def four() -> Iterator[Slurm]:
    with Slurm(4, kill_wait=KILL_WAIT_S, slurmd_timeout=600) as made:
        yield made


@pytest.mark.parametrize("code", [0, 3])
def test_eight_nodes_run_a_benchmark_and_the_job_has_its_status(eight: Slurm, code: int) -> None:
    ask = f"{sys.executable} {CLIENT} $PDSUP_URL 4 2 && exit {code}"
    job = Job(eight, resources=EIGHT, benchmark={"command": ["sh", "-c", ask]})
    ended = eight.ended(job.number)
    state = "FAILED" if code else "COMPLETED"
    assert (ended["JobState"], ended["ExitCode"]) == (state, f"{code}:0"), job.output
    assert left(eight.bed) == []


def test_scancel_of_eight_nodes_leaves_nothing_and_kills_nothing(eight: Slurm) -> None:
    job = Job(eight, resources=EIGHT)
    job.ready()
    eight.do("scancel", str(job.number))
    until(lambda: left(eight.bed) == [], "nothing is left")
    last = {line["unit"]: line for line in job.journal()}
    assert {line["to"] for line in last.values()} == {"STOPPED"}
    assert job.killed() == []


def test_a_node_that_loses_power_is_done_without_and_joins_again(four: Slurm) -> None:
    job = Job(four, **NO_KILL)
    job.ready()
    before = job.units()
    with job.load() as log:
        four.bed.crash("node2")
        lost = time.monotonic()
        until(lambda: job.units()["decode-0"]["state"] == "UNKNOWN", "it is known to be gone")
        until(lambda: newest(log) > lost + 25, "requests go on", within=60)
    assert len([one for one in requests(log) if one["failure"]]) <= 8  # one of each client
    # Without its slurmd: when that comes back without the step, srun gives the whole step up.
    four.bed.boot("node2")
    plan = str(job.run_dir / "plan.yaml")
    words = ("agent", plan, "--node", "node2", "--run-dir", str(job.run_dir))
    four.bed["node2"].start(PDSUP, *words, log=job.directory / "again.out")
    until(lambda: job.units()["decode-0"]["state"] == "RUNNING", "it is back")
    assert job.pdsup("wait", "--timeout", "60").returncode == 0
    after = job.units()
    here = {name for name, unit in before.items() if unit["node"] != "node2"}
    assert {n: after[n]["pid"] for n in here} == {n: before[n]["pid"] for n in here}
    assert job.pdsup("shutdown", "--all").returncode == 0
    four.do("scancel", str(job.number))  # srun still waits for the task that went with the node
    until(lambda: left(four.bed) == [], "nothing is left")


def test_a_hundred_kills_and_cuts_never_let_two_epochs_of_a_worker_live_and_it_comes_back(
    four: Slurm,
) -> None:
    job = Job(four, **NO_KILL, resources=WIDE, edit=patient)
    job.ready()
    first = job.units()
    chance = random.Random(4)
    for number in range(100):
        strike(job, chance)
        if number % 10 == 9:
            until(lambda: both_run(job), "both ranks run again", within=60)
    until(lambda: both_run(job), "both ranks run again", within=60)
    assert job.pdsup("wait", "--timeout", "60").returncode == 0
    last = job.units()
    others = [name for name in last if "." not in name]
    assert {n: last[n]["pid"] for n in others} == {n: first[n]["pid"] for n in others}
    lives = [lived(job, f"decode-0.{rank}") for rank in range(2)]
    assert min(len(one) for one in lives) > 20
    for one, other in (lives, reversed(lives)):
        for begin, end in one:
            meets = [life for life in other if life[0] < end and begin < life[1]]
            assert len(meets) <= 1, f"a run met those of two epochs: {begin}, {end}, {meets}"
    four.do("scancel", str(job.number))
    until(lambda: left(four.bed) == [], "nothing is left")


def patient(plan: dict[str, Any]) -> None:
    """Ranks of 16 GPUs that die often and are never given up, and load at once."""
    for unit in plan["units"]:
        if unit.get("gang"):
            unit["restart"] = {"first_delay_s": 0.1, "delay_s": 0.1, "factor": 1.0}
            unit["restart"] |= {"limit_s": 0.1, "max_failures": 1000}
            unit["env"] = {**unit.get("env", {}), "MOCK_LOAD_SECONDS": "0.2"}
            unit["command"] += ["--tp-size", "16"]


def strike(job: Job, chance: random.Random) -> None:
    """Kills a rank, or cuts the nodes of both from each other or one of them from all."""
    node = chance.choice(("node2", "node3"))
    match chance.choice(("kill", "kill", "kill", "cut", "unplug")):
        case "kill":
            unit = job.units(node)[f"decode-0.{'01'[node == 'node3']}"]
            if unit["pid"] is not None:
                job.bed[node].run("kill", "-9", str(unit["pid"]))
        case "cut":
            job.bed.cut("node2", "node3")
            pause(chance)
            job.bed.cut("node2", "node3", heal=True)
        case _:
            job.bed.link(node, "down")
            pause(chance)
            job.bed.link(node, "up")
    pause(chance)


def pause(chance: random.Random) -> None:
    """Up to some seconds, so that the next strike hits whatever goes on then."""
    end = time.monotonic() + chance.choice((0.0, 0.1, 0.5, 1.0, 4.0))
    while time.monotonic() < end:
        time.sleep(0.05)


def both_run(job: Job) -> bool:
    with contextlib.suppress(json.JSONDecodeError):
        units = job.units()
        return all(units[f"decode-0.{rank}"]["state"] == "RUNNING" for rank in range(2))
    return False


def lived(job: Job, unit: str) -> list[tuple[float, float]]:
    """When runs of a unit lived, by the journal: seconds since the epoch, which all nodes share."""
    lines = [line for line in job.journal() if line["unit"] == unit]
    living = ("STARTING", "RUNNING", "UNHEALTHY", "STOPPING")
    begins = [x["at"] for x in lines if x["to"] == "STARTING"]
    ends = [x["at"] for x in lines if x["from"] in living and x["to"] not in living]
    return list(itertools.zip_longest(begins, ends, fillvalue=float("inf")))


def test_a_sweep_that_time_limits_end_is_continued_by_the_next_jobs(four: Slurm) -> None:
    """Slurm may send the signal a minute early, so which point it ends is not known."""
    slow = {"MOCK_TOKEN_SECONDS": "0.2", "MOCK_LOAD_SECONDS": "1"}
    sweep = {"type": "sa-bench", "isl": 64, "osl": 64, "concurrencies": "1x2x3x4"}
    seen: list[dict[str, str]] = []  # where the clean points are
    told = []
    for _ in range(4):
        job = Job(
            four,
            options=("--signal-before", "15"),
            sbatch_directives={"time": "3"},
            backend={"type": "mock", "decode_environment": slow},
            benchmark={**sweep, "num_prompts_mult": 25},
        )
        ended = four.ended(job.number, within=300)
        found = json.loads((job.run_dir / "results" / "points.json").read_text())["attempts"]
        seen.append({one["point"]: one["directory"] for one in found if one["verdict"] == "clean"})
        told += [(job.number, one["point"], one["verdict"], one["why"]) for one in found]
        assert left(four.bed) == []
        if len(seen[-1]) == 4:
            break
    assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), job.output
    first, *_, last = seen
    assert 0 < len(first) < 4
    assert list(last) == ["1", "2", "3", "4"], told
    earlier = {point for point, path in last.items() if path.startswith("/")}
    assert earlier >= first.keys(), last  # they were not measured again
