"""What comes back is used at once, and what belongs together comes back together."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.system.cluster import Cluster, until
from tests.system.load import Load, chat

RECIPE = """
name: wide
model: {path: /models/tiny}
resources:
  gpus_per_node: 8
  prefill_nodes: 1
  prefill_workers: 1
  decode_nodes: 4
  decode_workers: 2
frontend:
  type: sglang
  num_additional_frontends: 1
  args: {cb-timeout-duration-secs: 600}  # a breaker that opens does not close by itself here
backend:
  type: mock
  prefill_environment: {MOCK_LOAD_SECONDS: "1"}
  decode_environment: {MOCK_LOAD_SECONDS: "0.5"}
  sglang_config: {decode: {tp-size: 16}}
"""
GANG = {"decode-0.0", "decode-0.1"}


@pytest.fixture(scope="module")
def wide() -> Iterator[Cluster]:
    """A prefill worker, and two decode workers that span two nodes each."""
    made = Cluster()
    try:
        recipe = made.home / "wide.yaml"
        recipe.write_text(RECIPE)
        made.up(recipe)
        yield made
    finally:
        made.close()


def test_a_kill_of_a_rank_starts_both_again_once_and_the_other_worker_serves_on(
    wide: Cluster,
) -> None:
    before = wide.units()
    with Load(wide.url(), clients=4) as load:
        until(lambda: load.answered > 20, "requests are answered")
        os.kill(before["decode-0.1"]["pid"], signal.SIGKILL)
        until(lambda: runs(wide) == {2}, "both ranks start again")
        assert wide.command("wait", "--timeout", "60").returncode == 0
        enough = load.answered + 20
        until(lambda: load.answered > enough, "requests go on")
    after = wide.units()
    assert runs(wide) == {2}
    assert pids(after, GANG) == pids(before, GANG)
    assert len(load.failures) <= load.clients, load.failures


def test_every_router_serves_again_as_soon_as_its_worker_is_ready_although_breakers_opened(
    wide: Cluster,
) -> None:
    before = wide.units()
    routers = [
        f"http://{wide.address(unit['node'])}:{unit['ports']['http']}/v1/chat/completions"
        for unit in before.values()
        if unit["kind"] == "router"
    ]
    assert len(routers) == 2
    os.kill(before["prefill-0"]["pid"], signal.SIGKILL)
    for url in routers:  # opens breakers, of the decodes too
        until(lambda url=url: failure(url) == "HTTP Error 503: Service Unavailable", "it gives up")
    until(lambda: wide.units()["prefill-0"]["run"] == 2, "it starts again")
    assert wide.command("wait", "--timeout", "30", "prefill-0").returncode == 0
    for url in routers:
        until(lambda url=url: failure(url) is None, f"{url} serves")
    assert pids(wide.units(), {"prefill-0"}) == pids(before, {"prefill-0"})


def runs(cluster: Cluster) -> set[int]:
    """How often the ranks of the first decode worker were started."""
    return {unit["run"] for name, unit in cluster.units().items() if name in GANG}


def pids(units: dict[str, dict[str, object]], without: set[str]) -> dict[str, object]:
    return {name: unit["pid"] for name, unit in units.items() if name not in without}


def failure(url: str) -> str | None:
    """Why a request failed, or None."""
    try:
        chat(url)
    except OSError as error:
        return str(error)
    return None
