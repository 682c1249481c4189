"""Routers come and go behind the real nginx while real clients ask: what they see of it.

There are few restarts here; PDSUP_TEST_RESTARTS makes them more.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import aiohttp
import pytest

from pdsup.front import drain, drain_rules
from pdsup.units.probes import gauges
from tests.system.cluster import ROOT, Cluster, until

RESTARTS = int(os.environ.get("PDSUP_TEST_RESTARTS", "4"))
CLIENTS = 12
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
            try:
                await self._ask(client, stream=n % 2 == 0)
                self.answered += 1
            except (aiohttp.ClientError, OSError, ValueError) as error:
                self.failures.append(f"{error!r}"[:200])

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
    async def restart_in_turn() -> None:
        for number in range(RESTARTS):
            name = f"router-{number % 2}"
            done = await asyncio.to_thread(two_routers.command, "restart", name)
            assert (done.returncode, done.stdout) == (0, f"{name}: restarted\n"), done.stderr

    crowd = under_load(two_routers.url(), restart_in_turn)
    assert crowd.failures == []
    assert crowd.answered > 2 * CLIENTS
    assert all(unit["state"] == "RUNNING" for unit in two_routers.units().values())


def test_a_router_is_restarted_at_once_after_clients_went_away_unanswered(
    two_routers: Cluster,
) -> None:
    """The real router counts their requests for ever."""
    address = two_routers.address("node0")
    body = json.dumps({"model": "demo", "prompt": "hello", "max_tokens": 5000})
    head = f"POST /v1/completions HTTP/1.1\r\nHost: router\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Content-Type: application/json\r\n\r\n{body}".encode()

    def counted() -> float:
        with urllib.request.urlopen(f"http://{address}:29000/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return sum(gauges.total(name, text) for name in (drain.UNANSWERED, drain.SERVED))

    with socket.create_connection((address, 30080)) as client:
        client.sendall(request)
        until(lambda: counted() > 1, "the router and a worker have the request")
    until(lambda: counted() == 1, "no worker has it")
    done = two_routers.command("restart", "router-0", timeout=drain_rules.STILL_S + 30)
    assert (done.returncode, done.stdout) == (0, "router-0: restarted\n"), done.stderr


def test_without_a_router_clients_get_503_and_with_one_they_are_served_again(
    two_routers: Cluster,
) -> None:
    models = two_routers.url("/v1/models")

    async def look() -> None:
        async with aiohttp.ClientSession() as client:

            async def status() -> tuple[int, str]:
                async with client.get(models) as answer:
                    return answer.status, await answer.text()

            for _ in range(20):
                code, text = await status()
                assert (code, json.loads(text)["error"]["code"]) == (503, "no_router_ready")
            start = two_routers.start("start", "router-1")
            while (await status())[0] != 200:
                pass
            await asyncio.to_thread(start.communicate)
            assert start.returncode == 0

    assert two_routers.command("stop", "router-*").returncode == 0
    asyncio.run(look())
    assert two_routers.command("start", "router-0").returncode == 0


def test_a_killed_router_is_out_of_nginx_before_it_starts_again_and_back_when_ready(
    two_routers: Cluster,
) -> None:
    address, pid = two_routers.address("node0"), two_routers.units()["router-1"]["pid"]
    (conf,) = two_routers.home.glob("pdsup/*/node0/nginx/nginx.conf")

    async def kill() -> None:
        async with aiohttp.ClientSession() as client:

            async def generation() -> str:
                async with client.get(f"http://{address}:30081/generation") as answer:
                    return await answer.text()

            before = await generation()
            os.kill(pid, 9)
            while await generation() == before:
                pass
            assert "router-1" not in conf.read_text()
            while await generation() != before:
                pass

    crowd = under_load(two_routers.url(), kill)
    assert len(crowd.failures) <= CLIENTS  # what was on it when it died
    assert crowd.answered > 0
    until(lambda: two_routers.units()["router-1"]["ready"], "router-1 is back")
