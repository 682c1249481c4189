"""Workers that come back are served at once, by the routers that were there all along."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.system.cluster import Cluster, until
from tests.system.load import chat

RECIPE = """
name: pair
model: {path: /models/tiny}
resources:
  gpus_per_node: 1
  prefill_nodes: 1
  decode_nodes: 1
  prefill_workers: 1
  decode_workers: 1
backend:
  type: mock
  use_sglang_router: true
  enable_multiple_frontends: true
  num_additional_frontends: 1
  decode_environment: {MOCK_LOAD_SECONDS: "2"}
"""


def test_a_worker_that_is_ready_again_is_served_within_a_second_by_every_router(
    cluster: Cluster,
) -> None:
    recipe = cluster.home / "pair.yaml"
    recipe.write_text(RECIPE)
    cluster.up(Path(recipe))
    before = cluster.units()
    routers = [
        f"http://{cluster.address(unit['node'])}:{unit['ports']['http']}/v1/chat/completions"
        for unit in before.values()
        if unit["kind"] == "router"
    ]
    assert len(routers) == 2
    os.kill(before["decode-0"]["pid"], signal.SIGKILL)
    for url in routers:  # opens the breakers: of the prefill too, for ten seconds
        until(lambda url=url: failure(url) == "HTTP Error 503: Service Unavailable", "it gives up")
    until(lambda: cluster.units()["decode-0"]["run"] == 2, "it starts again")
    assert cluster.command("wait", "--timeout", "30", "decode-0").returncode == 0
    ready = time.monotonic()
    for url in routers:
        until(lambda url=url: failure(url) is None, f"{url} serves", within=5)
    assert time.monotonic() - ready < 1.0
    after = cluster.units()
    assert {n: u["pid"] for n, u in after.items() if n != "decode-0"} == {
        n: u["pid"] for n, u in before.items() if n != "decode-0"
    }


def failure(url: str) -> str | None:
    """Why a request failed, or None."""
    try:
        chat(url, timeout=5)
    except OSError as error:
        return str(error)
    return None
