"""Routers come and go behind the real nginx while real clients ask: what they see of it.

The load is short here; PDSUP_TEST_LOAD_S makes it longer.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import aiohttp
import pytest

from tests.system.cluster import ROOT, Cluster, until

LOAD_S = float(os.environ.get("PDSUP_TEST_LOAD_S", "8"))
CLIENTS = 12
HALF_A_SECOND = 0.5
# Two routers, and streams that outlive a reload.
FEWER = ("--set", "frontend.num_additional_frontends=1")


@pytest.fixture(scope="module")
def two_routers() -> Iterator[Cluster]:
    """The demo cluster with two routers, up."""
    made = Cluster()
    try:
        made.up(ROOT / "configs" / "demo.yaml", *FEWER)
        yield made
    finally:
        made.close()


@dataclass
class Crowd:
    """Clients on connections that they use again; half of them want streams."""

    url: str
    answered: int = 0
    failures: list[str] = field(default_factory=list)

    async def ask_until(
        self, over: Callable[[], bool], client: aiohttp.ClientSession, n: int
    ) -> None:
        """Question after question."""
        while not over():
            began = time.monotonic()
            try:
                await self._ask(client, stream=n % 2 == 0)
                self.answered += 1
            except (aiohttp.ClientError, OSError, ValueError) as error:
                self.failures.append(f"at {began:.2f}: {error!r}"[:200])

    async def _ask(self, client: aiohttp.ClientSession, *, stream: bool) -> None:
        messages = [{"role": "user", "content": "hello"}]
        tokens = 40 if stream else 3
        body = {"model": "demo", "messages": messages, "max_tokens": tokens, "stream": stream}
        async with client.post(self.url, json=body) as answer:
            text = await answer.read()
        whole = text.rstrip().endswith(b"data: [DONE]") if stream else b'"choices"' in text
        if answer.status != 200 or not whole:
            raise ValueError(f"HTTP {answer.status}, {text[-80:]!r}")


def under_load(url: str, deed: Callable[[], Awaitable[None]]) -> Crowd:
    """Lets clients ask as long as something is done."""
    crowd = Crowd(url)

    async def main() -> None:
        limit = aiohttp.ClientTimeout(total=60)
        async with aiohttp.ClientSession(timeout=limit) as client, asyncio.TaskGroup() as tasks:
            doing = tasks.create_task(deed())
            for n in range(CLIENTS):
                tasks.create_task(crowd.ask_until(doing.done, client, n))

    asyncio.run(main())
    return crowd


def test_restarts_of_routers_one_after_another_cost_no_request_and_no_stream(
    two_routers: Cluster,
) -> None:
    restarts = 0

    async def restart_in_turn() -> None:
        nonlocal restarts
        end = time.monotonic() + LOAD_S
        while time.monotonic() < end:
            name = f"router-{restarts % 2}"
            done = await asyncio.to_thread(two_routers.command, "restart", name)
            assert (done.returncode, done.stdout) == (0, f"{name}: restarted\n"), done.stderr
            restarts += 1

    crowd = under_load(two_routers.url(), restart_in_turn)
    assert crowd.failures == []
    assert restarts >= 2
    assert crowd.answered > 10 * restarts
    assert all(unit["state"] == "RUNNING" for unit in two_routers.units().values())


def journal(cluster: Cluster, node: str) -> list[dict[str, object]]:
    """The events of a node."""
    text = (cluster.run_dir / "events" / f"{node}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_without_a_router_clients_get_503_at_once_and_with_one_they_are_served_again(
    two_routers: Cluster,
) -> None:
    async def look() -> tuple[list[float], float]:
        async with aiohttp.ClientSession() as client:

            async def status() -> tuple[int, str, float]:
                began = time.monotonic()
                async with client.get(two_routers.url("/v1/models")) as answer:
                    text = await answer.text()
                return answer.status, text, time.monotonic() - began

            waits = []
            for _ in range(20):
                code, text, wait = await status()
                assert (code, json.loads(text)["error"]["code"]) == (503, "no_router_ready")
                waits.append(wait)
            start = two_routers.start("start", "router-1")
            while (await status())[0] != 200:
                pass
            served = time.time()
            await asyncio.to_thread(start.communicate)
            assert start.returncode == 0
            return waits, served

    assert two_routers.command("stop", "router-*").returncode == 0
    waits, served = asyncio.run(look())
    assert two_routers.command("start", "router-0").returncode == 0
    assert min(waits) < 0.05  # others may have been held up by what else this machine does
    ready = [e for e in journal(two_routers, "node1") if e["unit"] == "router-1"][-1]
    assert ready["to"] == "RUNNING"
    assert served - float(str(ready["at"])) < 1.0


def test_a_killed_router_is_out_of_nginx_within_half_a_second_and_back_when_ready(
    two_routers: Cluster,
) -> None:
    address, pid = two_routers.address("node0"), two_routers.units()["router-1"]["pid"]
    conf = two_routers.run_dir / "nginx" / "nginx.conf"
    took = 0.0

    async def kill() -> None:
        nonlocal took
        async with aiohttp.ClientSession() as client:

            async def generation() -> str:
                async with client.get(f"http://{address}:30081/generation") as answer:
                    return await answer.text()

            before = await generation()
            began = time.monotonic()
            os.kill(pid, 9)
            while await generation() == before:
                pass
            took = time.monotonic() - began
            assert "router-1" not in conf.read_text()
            while await generation() != before:
                pass

    crowd = under_load(two_routers.url(), kill)
    assert took <= HALF_A_SECOND
    assert len(crowd.failures) <= CLIENTS  # what was on it when it died
    assert crowd.answered > 0
    until(lambda: two_routers.units()["router-1"]["ready"], "router-1 is back")
