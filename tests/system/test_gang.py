"""Workers that span nodes, under load."""

from __future__ import annotations

import os
import signal

from tests.system.cluster import Cluster, until
from tests.system.load import Load

RECIPE = """
name: wide
model: {path: /models/tiny}
resources:
  gpus_per_node: 8
  prefill_nodes: 1
  prefill_workers: 1
  decode_nodes: 4
  decode_workers: 2
frontend: {type: sglang, num_additional_frontends: 1}
backend:
  type: mock
  decode_environment: {MOCK_LOAD_SECONDS: "0.5"}
  sglang_config: {decode: {tp-size: 16}}
"""
GANG = {"decode-0.0", "decode-0.1"}


def test_a_kill_of_a_rank_starts_both_again_once_and_the_other_worker_serves_on(
    cluster: Cluster,
) -> None:
    recipe = cluster.home / "wide.yaml"
    recipe.write_text(RECIPE)
    cluster.up(recipe)
    first = cluster.units()
    with Load(cluster.url(), clients=4) as load:
        until(lambda: load.answered > 20, "requests are answered")
        os.kill(first["decode-0.1"]["pid"], signal.SIGKILL)
        until(lambda: runs(cluster) == {2}, "both ranks start again")
        assert cluster.command("wait", "--timeout", "60").returncode == 0
        enough = load.answered + 20
        until(lambda: load.answered > enough, "requests go on")
    last = cluster.units()
    assert runs(cluster) == {2}
    assert {n: u["pid"] for n, u in last.items() if n not in GANG} == {
        n: u["pid"] for n, u in first.items() if n not in GANG
    }
    assert len(load.failures) <= load.clients, load.failures


def runs(cluster: Cluster) -> set[int]:
    """How often the ranks of the first decode worker were started."""
    return {unit["run"] for name, unit in cluster.units().items() if name in GANG}
