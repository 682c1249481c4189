"""Jobs under real Slurm, on nodes that are namespaces of this machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.bed.machines import until
from tests.bed.slurm import Slurm, lacking
from tests.system.cluster import PDSUP
from tests.system.job import CLIENT, Job, left, newest, requests

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "")
KILL_WAIT_S = 60
UNITS = {f"{name}-{i}" for name in ("prefill", "decode") for i in range(2)}
UNITS |= {f"router-{i}" for i in range(4)} | {"nginx"}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with Slurm(4, kill_wait=KILL_WAIT_S, slurmd_timeout=20) as made:
        yield made


def test_a_job_runs_its_benchmark_and_ends_with_its_status_and_leaves_nothing(
    slurm: Slurm,
) -> None:
    seen = slurm.home / "seen.json"
    look = f"{PDSUP} status --all --json > {seen}"
    ask = f"{sys.executable} {CLIENT} $PDSUP_URL 4 1 > {slurm.home}/asked.jsonl"
    job = Job(slurm, benchmark={"command": ["sh", "-c", f"{look} && {ask}"]})
    ended = slurm.ended(job.number)
    assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), job.output
    nodes = json.loads(seen.read_text())["nodes"]
    assert [node["node"] for node in nodes] == ["node0", "node1", "node2", "node3"]
    assert all(node["agent"]["reachable"] for node in nodes)
    states = {unit["name"]: unit["state"] for node in nodes for unit in node["units"]}
    assert states == dict.fromkeys(UNITS | {"benchmark"}, "RUNNING")
    asked = requests(slurm.home / "asked.jsonl")
    assert len(asked) > 8
    assert {one["failure"] for one in asked} == {None}
    assert left(slurm.bed) == []


@pytest.fixture(scope="module")
def running(slurm: Slurm) -> Job:
    """A job that is ready, for tests that leave it so; the last one ends it."""
    keep = {"no-kill": True}
    job = Job(slurm, sbatch_directives=keep, srun_options=keep)
    job.ready()
    return job


def test_a_node_that_is_cut_off_costs_what_was_on_it_and_heals_when_it_is_back(
    slurm: Slurm, running: Job
) -> None:
    job = running
    before = job.units()
    with job.load() as log:
        slurm.bed.link("node2", "down")
        until(lambda: job.units()["decode-0"]["state"] == "UNKNOWN", "it is known to be gone")
        known = time.monotonic()
        until(lambda: newest(log) > known, "requests go on meanwhile")
        slurm.bed.link("node2", "up")
        assert job.pdsup("wait", "--timeout", "60").returncode == 0
        back = time.monotonic()
        until(lambda: newest(log) > back, "requests go on with the node")
    assert len([one for one in requests(log) if one["failure"]]) <= 8  # one of each client
    after = job.units()
    assert {name: unit["pid"] for name, unit in after.items()} == {
        name: unit["pid"] for name, unit in before.items()
    }


def heard(log: Path) -> set[str]:
    """The nodes whose agents were told to read the plan again, and found it as it was."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {line["node"] for line in lines if line["event"] == "the plan has not changed"}


def test_a_recipe_that_is_edited_is_taken_in_by_every_node_while_requests_go_on(
    slurm: Slurm, running: Job
) -> None:
    job = running
    before = job.units()
    with job.load() as log:
        recipe = job.directory / "recipe.yaml"
        edited = yaml.safe_load(recipe.read_text())
        edited["frontend"]["args"] = {"log-level": "debug"}
        recipe.write_text(yaml.safe_dump(edited))
        done = job.pdsup("reload", "--json", "--timeout", "60", node="node2")
        assert done.returncode == 0, done.stdout + done.stderr
        found = {one["unit"]: one["outcome"] for one in json.loads(done.stdout)["units"]}
        assert found == {f"router-{index}": "restarted" for index in range(4)}
        after = job.units()
        same = {name for name in UNITS if after[name]["pid"] == before[name]["pid"]}
        assert same == UNITS - found.keys()
        ended = time.monotonic()
        until(lambda: newest(log) > ended, "requests go on")
    assert [one for one in requests(log) if one["failure"]] == []
    slurm.do("scancel", "--signal=HUP", str(job.number))
    logs = job.directory / f"slurm-{job.number}.out"
    nodes = {node.name for node in slurm.bed}
    until(lambda: heard(logs) == nodes, "all have heard it")
    assert {name: unit["pid"] for name, unit in job.units().items()} == {
        name: unit["pid"] for name, unit in after.items()
    }


def test_scancel_ends_every_unit_and_the_agents_live_to_see_it(slurm: Slurm, running: Job) -> None:
    job = running
    slurm.do("scancel", str(job.number))
    until(lambda: left(slurm.bed) == [], "nothing is left")
    assert slurm.ended(job.number)["JobState"] == "CANCELLED"
    last = {line["unit"]: line for line in job.journal()}
    assert {name: line["to"] for name, line in last.items()} == dict.fromkeys(UNITS, "STOPPED")
    assert job.killed() == []
