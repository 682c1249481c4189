"""Trying the ways to the ports that a gate asks about."""

import asyncio
import contextlib
import dataclasses
import socket
from types import SimpleNamespace

import pytest

from pdsup.cluster import gate as connector_module
from pdsup.cluster.gate import Connects

PATH = ("decode-0", "http")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connector_module, "RETRY_S", 0.005)


@pytest.fixture
def connecting(plan):
    @contextlib.asynccontextmanager
    async def made(plan=plan):
        news = []
        async with asyncio.TaskGroup() as tasks:
            connector = Connects(plan, tasks, lambda: news.append(dict(connector.connects)))
            try:
                yield SimpleNamespace(connector=connector, connects=connector.connects, news=news)
            finally:
                await connector.close()

    return made


@pytest.fixture
def listen(plan):
    """Opens the port of a unit; only the kernel answers there."""

    def at(unit="decode-0", purpose="http"):
        found = plan.by_name[unit]
        return socket.create_server((plan.address[found.node], found.ports[purpose]))

    return at


async def test_a_path_to_an_open_port_is_known_to_work(connecting, until, listen):
    with listen():
        async with connecting() as c:
            c.connector.ask([PATH])
            await until(lambda: c.connects == {PATH: None})
            assert c.connector.tried.keys() == {PATH}
            assert c.news == [{PATH: None}]


async def test_a_path_to_a_closed_port_is_known_to_fail_and_tried_until_it_works(
    connecting, until, listen
):
    async with connecting() as c:
        c.connector.ask([PATH])
        await until(lambda: c.connects == {PATH: "connection refused"})
        with listen():
            await until(lambda: c.connects == {PATH: None})


async def test_a_failure_that_repeats_itself_is_told_once(connecting, until, listen, monkeypatch):
    tries = []

    async def refused(address, port):
        tries.append(port)
        raise ConnectionRefusedError

    monkeypatch.setattr(connector_module, "connect", refused)
    async with connecting() as c:
        c.connector.ask([PATH])
        await until(lambda: len(tries) > 5)
        assert c.news == [{PATH: "connection refused"}]


async def test_a_path_is_tried_once_however_often_it_is_asked_for(connecting, until, listen):
    with listen() as server:
        server.settimeout(0)
        async with connecting() as c:
            for _ in range(5):
                c.connector.ask([PATH, PATH])
            await until(lambda: PATH in c.connects)
            c.connector.ask([PATH])
            server.accept()[0].close()
            with pytest.raises(BlockingIOError):
                server.accept()


async def test_what_is_forgotten_is_tried_anew(connecting, until, listen):
    async with connecting() as c:
        with listen():
            c.connector.ask([PATH, ("decode-1", "http")])
            await until(lambda: len(c.connects) == 2)
        c.connector.forget("decode-0")
        assert PATH not in c.connects
        assert PATH not in c.connector.tried
        assert ("decode-1", "http") in c.connects
        c.connector.ask([PATH])
        await until(lambda: c.connects.get(PATH) == "connection refused")


async def test_a_try_that_is_under_way_when_its_unit_is_forgotten_tells_nothing(
    connecting, until, monkeypatch
):
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def slow(address, port):
        under_way.set()
        await go_on.wait()

    monkeypatch.setattr(connector_module, "connect", slow)
    async with connecting() as c:
        c.connector.ask([PATH])
        await under_way.wait()
        c.connector.forget("decode-0")
        go_on.set()
        await asyncio.sleep(0)
        assert c.news == []


async def test_forgetting_what_was_never_asked_for_is_harmless(connecting):
    async with connecting() as c:
        c.connector.forget("decode-0")
        assert c.connects == {}


async def test_a_port_that_never_answers_fails_in_bounded_time(connecting, until, monkeypatch):
    async def hung(address, port):
        await asyncio.Event().wait()

    monkeypatch.setattr(connector_module, "connect", hung)
    monkeypatch.setattr(connector_module, "TIMEOUT_S", 0.01)
    async with connecting() as c:
        c.connector.ask([PATH])
        await until(lambda: c.connects == {PATH: "no answer in time"})


@pytest.mark.parametrize("address", ["no-such-host.invalid", "a..b", "x" * 70])
async def test_an_address_that_leads_nowhere_is_a_failure_not_a_defect(
    connecting, until, plan, address
):
    nodes = tuple(dataclasses.replace(node, address=address) for node in plan.nodes)
    async with connecting(dataclasses.replace(plan, nodes=nodes)) as c:
        c.connector.ask([PATH])
        assert await until(lambda: c.connects.get(PATH))


async def test_close_ends_every_try(connecting, until):
    async with connecting() as c:
        c.connector.ask([PATH, ("prefill-0", "bootstrap")])
        await until(lambda: len(c.connects) == 2)
        async with asyncio.timeout(60):
            await c.connector.close()
