"""A worker on two nodes that freezes: what is saved of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from pdsup.plan import yaml
from pdsup.plan.compile import load
from pdsup.plan.model import Node
from pdsup.units import evidence
from tests.bed.addresses import fresh_address
from tests.system.cluster import Cluster, until

RECIPE = """
name: gang
model: {path: /models/tiny}
resources: {gpus_per_node: 1, agg_nodes: 2, agg_workers: 1}
frontend: {type: sglang, enable_multiple_frontends: false}
backend: {type: mock, sglang_config: {aggregated: {tp-size: 2}}}
"""
RANKS = ("agg-0.0", "agg-0.1")
FILES = {"why", "processes", "stacks", "sockets", "gpus", "log", "probes"}
MAY_LACK = {"gpus"}  # where there is no GPU


@pytest.fixture
def gang(cluster: Cluster) -> Cluster:
    """Up, with probes about a hundred times as impatient as those of a compiled plan."""
    recipe = cluster.home / "recipe.yaml"
    recipe.write_text(RECIPE)
    nodes = tuple(Node(name=f"node{index}", address=fresh_address()) for index in range(2))
    plan = yaml.values(load.load(recipe, nodes=nodes, bind="address").plan)
    for unit in plan["units"]:
        if unit["kind"] == "worker":
            unit["probes"]["liveness"] |= {"period_s": 0.1, "timeout_s": 0.5, "quiet_s": 2.0}
            unit["stop"]["timeout_s"] = 1.0
    file = cluster.home / "plan.yaml"
    file.write_text(json.dumps(plan))
    cluster.up(Path(file))
    return cluster


def freeze(cluster: Cluster) -> dict[str, int]:
    """Stops the main process of every rank; the runs they are in, by unit."""
    units = cluster.units()
    for name in RANKS:
        os.kill(units[name]["pid"], signal.SIGSTOP)
    return {name: units[name]["run"] for name in RANKS}


def saved(cluster: Cluster, unit: str, run: int) -> set[str]:
    """Which files of a unit's evidence are there and not empty."""
    directory = cluster.run_dir / evidence.directory(unit, run)
    return {path.stem for path in directory.glob("*.txt") if path.stat().st_size}


def reasons(cluster: Cluster) -> list[str]:
    """Why units were found dead, from the journals."""
    lines = [
        json.loads(line)
        for path in (cluster.run_dir / "events").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return [one["reason"] for one in lines if one["event"]["type"] == "FoundDead"]


def test_a_frozen_gang_leaves_whole_evidence_also_when_an_agent_does_not_answer(
    gang: Cluster,
) -> None:
    runs = freeze(gang)
    for name, run in runs.items():
        until(lambda name=name, run=run: "why" in saved(gang, name, run), f"evidence of {name}")
        assert FILES - saved(gang, name, run) <= MAY_LACK
    until(lambda: bool(reasons(gang)), "it is found dead")
    assert any("evidence in evidence/agg-0." in reason for reason in reasons(gang))
    again = gang.command("wait", "--timeout", "60", *RANKS)
    assert again.returncode == 0, again.stderr

    silent = next(
        node["agent"]["pid"] for node in gang.status()["nodes"] if node["node"] == "node1"
    )
    runs = freeze(gang)
    try:
        os.kill(silent, signal.SIGSTOP)
        until(lambda: "why" in saved(gang, RANKS[0], runs[RANKS[0]]), "evidence of rank 0")
        assert FILES - saved(gang, RANKS[0], runs[RANKS[0]]) <= MAY_LACK
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(silent, signal.SIGCONT)
