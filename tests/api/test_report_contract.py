"""What ``Peers`` asks other agents: the fakes that tests use answer it as a real agent does."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets

import aiohttp
import pytest

from pdsup import clock
from pdsup.address import url
from pdsup.api import server as server_module
from pdsup.cluster.report import from_json
from pdsup.node import signatures
from pdsup.units.probes.http import MOST_ANSWER, read_at_most
from tests.bed.network import TOKEN, FakeNetwork, FakePeer

NODE = "node3"
LIMIT_S = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(server_module, "LAST_REPORT_S", 0.05)


class Asked:
    """One agent, as a client sees it. ``publish`` gives it news of decode-1."""

    def __init__(self, plan, session, publish) -> None:
        self.plan, self.session, self.publish = plan, session, publish

    async def get(self, since: str, wait: float, token: str = TOKEN):
        """The status, and the report if there is one."""
        path = f"/v1/report?since={since}&wait={wait:g}"
        signed = signatures.headers(token, "GET", path, NODE, clock.wall(), secrets.token_hex(8))
        where = url(self.plan.address[NODE], self.plan.control_port, path)
        limit = aiohttp.ClientTimeout(total=LIMIT_S)
        async with self.session.get(
            where, headers=signed, timeout=limit, allow_redirects=False
        ) as response:
            body = await read_at_most(response.content, MOST_ANSWER)
            return response.status, from_json(body) if response.status == 200 else None


@pytest.fixture(params=["agent", "peer", "network"])
def agent(request, plan, serving, report, unit_report):
    @contextlib.asynccontextmanager
    async def made():
        first = report(NODE, units=("decode-1",))

        def after(state, sequence):
            return dataclasses.replace(
                first, sequence=sequence, units=(unit_report("decode-1", state),)
            )

        async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as session:
            match request.param:
                case "agent":
                    async with serving(NODE) as s:

                        async def publish(state, sequence):
                            s.parts.own_report.publish(unit_report("decode-1", state))

                        yield Asked(plan, session, publish)
                case "peer":
                    peer = FakePeer(plan.address[NODE], plan.control_port, first)
                    await peer.start()

                    async def publish(state, sequence):
                        await peer.publish(after(state, sequence))

                    yield Asked(plan, session, publish)
                    await peer.stop()
                case "network":
                    network = FakeNetwork(plan)

                    async def publish(state, sequence):
                        await network.publish(after(state, sequence))

                    await network.publish(first)
                    yield Asked(plan, network, publish)

    return made


async def test_whoever_knows_nothing_gets_the_report_at_once(agent):
    async with agent() as a:
        status, report = await a.get("", LIMIT_S)
        assert (status, report.node) == (200, NODE)
        assert report.unit("decode-1") is not None


async def test_whoever_knows_it_already_gets_nothing_when_the_wait_has_ended(agent):
    async with agent() as a:
        _, report = await a.get("", 0)
        for wait in (0, 0.01):
            assert await a.get(report.version, wait) == (304, None)


async def test_whoever_waits_gets_what_changes(agent):
    async with agent() as a:
        _, known = await a.get("", 0)
        for sequence, state in enumerate(("STARTING", "RUNNING"), 2):
            waiter = asyncio.create_task(a.get(known.version, LIMIT_S))
            await asyncio.sleep(0)
            await a.publish(state, sequence)
            status, report = await waiter
            assert (status, report.unit("decode-1").state) == (200, state)
            assert report.version != known.version
            known = report


async def test_whoever_knows_an_older_report_gets_the_newest(agent):
    async with agent() as a:
        _, known = await a.get("", 0)
        for sequence, state in enumerate(("STARTING", "RUNNING"), 2):
            await a.publish(state, sequence)
        status, report = await a.get(known.version, LIMIT_S)
        assert (status, report.unit("decode-1").state) == (200, "RUNNING")


async def test_whoever_has_not_the_token_of_the_run_gets_nothing(agent):
    async with agent() as a:
        assert await a.get("", 0, token="x" * 64) == (401, None)
