"""A whole cluster on an address of IPv6: the real router and nginx, and stand-ins for workers."""

from __future__ import annotations

import sys

from pdsup.plan.compile import load
from pdsup.plan.model import Node
from tests.system.cluster import ROOT, Cluster

RECIPE = """
name: six
model: {path: /models/demo}
resources:
  {gpus_per_node: 8, prefill_nodes: 1, prefill_workers: 1, gpus_per_prefill: 2, decode_nodes: 0,
   decode_workers: 1}
frontend: {type: sglang}
backend: {type: mock, sglang_config: {prefill: {served-model-name: demo},
                                      decode: {served-model-name: demo}}}
"""
ASK = (
    "import os, sys; from tests.system.load import chat;"
    "print(os.environ['PDSUP_URL']); chat(os.environ['PDSUP_URL'] + '/v1/chat/completions')"
)


def test_a_request_goes_all_the_way_to_a_decode_that_fetches_from_its_prefill(
    cluster: Cluster,
) -> None:
    recipe, plan = cluster.home / "recipe.yaml", cluster.home / "plan.yaml"
    recipe.write_text(RECIPE)
    nodes = (Node(name="node0", address="::1"),)
    plan.write_bytes(load.load(recipe, nodes=nodes, bind="address").text)
    cluster.env["PYTHONPATH"] = str(ROOT)
    words = ("up", str(plan), "--timeout", "90", "--", sys.executable, "-c", ASK)
    done = cluster.command(*words, timeout=150)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "http://[::1]:8000\n"
    assert cluster.processes() == []
