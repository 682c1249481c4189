"""What strangers who connect to an agent's port can do to it: next to nothing."""

import asyncio
import contextlib
import json
import resource

import pytest

from pdsup import clock
from pdsup.api import connections
from pdsup.node import signatures
from tests.bed.network import TOKEN

# Each is no request, of some 40 kB.
RUBBISH = {
    "NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\n" + bytes(40_000),
    "a method": b"\xff" * 40_000 + b"\r\n\r\n",
    "a URL": b"GET http://[" + b"a" * 7_000 + b" HTTP/1.1\r\n\r\n",
    "a long path": b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nX: " + b"\x1b[2J" * 10_000 + b"\r\n\r\n",
    "a version": b"GET / HTTP/9.9.9\r\n" + b"\r\n" * 20_000,
    "a length": b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"x\r\n\r\n" + bytes(40_000),
    "a chunk": b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n" + bytes(40_000),
    "headers": b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(4_000)) + b"\r\n",
    "no header": b"GET / HTTP/1.1\r\n" + b"nothing\r\n" * 4_000 + b"\r\n",
}


@pytest.fixture
async def strangers(plan):
    """Opens connections to a node's port, which say nothing unless they are given words."""
    writers = []

    async def opened(number: int = 1, words: bytes = b"", address: str = "127.0.0.1"):
        readers = []
        for _ in range(number):
            reader, writer = await asyncio.open_connection(
                plan.address["node3"], plan.control_port, local_addr=(address, 0)
            )
            writers.append(writer)
            writer.write(words)
            readers.append(reader)
        return readers

    yield opened
    for writer in writers:
        writer.close()


async def hung_up(reader: asyncio.StreamReader) -> None:
    """Returns once the agent has closed the connection."""
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 30)


@pytest.fixture
def open_for_ever(monkeypatch):
    monkeypatch.setattr(connections, "FIRST_REQUEST_S", 1000.0)


async def answers(node) -> bool:
    return [(await ask("/livez")).status for ask in (node.local, node.remote)] == [200, 200]


@pytest.mark.parametrize("words", RUBBISH.values(), ids=RUBBISH)
async def test_what_is_no_request_makes_one_short_line_a_second(
    serving, strangers, monkeypatch, caplog, words
):
    monkeypatch.setattr(connections, "LOG_S", 1000.0)
    async with serving() as node:
        for reader in await strangers(20, words):
            await hung_up(reader)
        lines = [json.dumps(line) for line in node.logged]
        assert len(lines) <= 1
        assert not caplog.records
        assert all(len(line) < 400 and "\\u001b" not in line for line in lines)
        assert await answers(node)


async def test_the_next_line_counts_what_was_left_out(serving, strangers, monkeypatch):
    words = RUBBISH["NUL in a header"]
    async with serving() as node:
        monkeypatch.setattr(connections, "LOG_S", 1000.0)
        log = connections.RequestLog(node.parts.log)
        for _ in range(3):
            log.exception("from %s", "x", exc_info=connections.HttpProcessingError(message=words))
        log._next = 0.0
        log.exception("from %s", "x", exc_info=connections.HttpProcessingError())
        assert [line["others"] for line in node.logged] == [0, 2]


async def test_a_defect_in_an_answer_is_logged_with_its_traceback(serving, monkeypatch):
    async with serving() as node:

        def report():
            raise RuntimeError("never expected")

        monkeypatch.setattr(node.agent, "report", report)
        assert (await node.local("/readyz")).status == 500
        (line,) = node.logged
        assert "never expected" in line["trace"]


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.1\r\nHost: \xb7\xff", b"GET /v1/explain/\xff HTTP/1.1\r\nHost: localhost",
     b"GET /v1/explain/%ff%ed%a0%80 HTTP/1.1\r\nHost: localhost",
     b"GET /v1/logs/%ff HTTP/1.1\r\nHost: localhost",
     b"GET /v1/status?all=\xff HTTP/1.1\r\nHost: localhost\r\nOrigin: \xff"],
)  # fmt: skip
async def test_what_is_no_text_in_a_request_is_refused_on_both_listeners(serving, head):
    async with serving() as node:
        place = node.agent.assignment.address, node.agent.plan.control_port
        for opened in (asyncio.open_unix_connection(node.socket), asyncio.open_connection(*place)):
            reader, writer = await opened
            writer.write(head + b"\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            assert answer[9:12] in (b"200", b"400", b"401", b"403", b"404")
        assert [line for line in node.logged if "trace" in line] == []


async def test_a_client_that_goes_away_amid_its_request_is_no_defect(serving):
    async with serving() as node:
        half = b"POST /v1/units HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
        _, writer = await asyncio.open_unix_connection(str(node.socket))
        writer.write(half)
        writer.close()
        log = connections.RequestLog(node.parts.log)
        for error in (ConnectionResetError("x"), connections.web.RequestPayloadError("x")):
            log.exception("from %s", "x", exc_info=error)
        assert (await node.local("/livez")).status == 200
        assert [line for line in node.logged if "trace" in line] == []


async def test_a_connection_without_an_authenticated_request_is_closed_in_time(
    serving, strangers, monkeypatch
):
    monkeypatch.setattr(connections, "FIRST_REQUEST_S", 0.05)
    async with serving() as node:
        for words in (b"", b"GET / HTT", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"):
            for reader in await strangers(3, words):
                await hung_up(reader)
        assert await answers(node)


async def test_a_follower_keeps_its_connection(serving, monkeypatch, until):
    monkeypatch.setattr(connections, "FIRST_REQUEST_S", 0.05)
    async with serving() as node:
        version = node.agent.report_version
        answer = await node.remote(f"/v1/report?since={version}&wait=0.3")
        assert answer.status == 304


@pytest.mark.usefixtures("open_for_ever")
async def test_of_many_silent_connections_the_oldest_are_closed(serving, strangers, monkeypatch):
    monkeypatch.setattr(connections, "MOST_UNKNOWN", 5)
    async with serving() as node:
        known = asyncio.create_task(
            node.remote(f"/v1/report?since={node.agent.report_version}&wait=0.5")
        )
        readers = await strangers(20)
        for reader in readers[:14]:
            await hung_up(reader)
        assert await answers(node)
        assert not readers[-1].at_eof()
        assert (await known).status == 304


@pytest.mark.usefixtures("open_for_ever")
async def test_strangers_leave_descriptors_for_the_agent(serving, strangers, monkeypatch):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving() as node:
        assert await answers(node)
        # As if the next descriptor was among those that are kept.
        monkeypatch.setattr(resource, "getrlimit", lambda _: (2, hard))
        for reader in await strangers(10):
            await hung_up(reader)
        assert (await node.local("/livez")).status == 200


@pytest.mark.usefixtures("open_for_ever")
async def test_of_many_silent_connections_of_one_address_its_oldest_are_closed(
    serving, strangers, monkeypatch
):
    monkeypatch.setattr(connections, "MOST_UNKNOWN_AT", 5)
    async with serving() as node:
        (other,) = await strangers(address="127.0.88.1")
        readers = await strangers(20, address="127.0.88.2")
        for reader in readers[:15]:
            await hung_up(reader)
        assert await answers(node)
        assert not any(reader.at_eof() for reader in (other, *readers[15:]))


def signed(path, nonce):
    headers = signatures.headers(TOKEN, "GET", path, "node3", clock.wall(), nonce) | {"Host": "x"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


async def test_an_address_has_only_so_many_authenticated_connections(
    serving, strangers, monkeypatch
):
    """Each has one request under way, so this bounds its long polls as well."""
    monkeypatch.setattr(connections, "MOST_KNOWN_AT", 3)
    monkeypatch.setattr(connections, "KNOWN_BY_NODE", 0)
    async with serving() as node:
        path = f"/v1/report?since={node.agent.report_version}&wait=60&beats=1"

        async def asks(nonce, address):
            (reader,) = await strangers(1, signed(path, nonce), address)
            return reader, (await asyncio.wait_for(reader.readline(), 60)).split()[1]

        first = [await asks(f"a{n}", "127.0.88.1") for n in range(5)]
        assert [status for _, status in first] == [b"200"] * 3 + [b"503"] * 2
        for reader, status in first:
            if status == b"503":
                await hung_up(reader)
        others = [await asks(f"b{n}", f"127.0.88.{n}") for n in range(2, 12)]
        assert {status for _, status in others} == {b"200"}


async def test_a_connection_that_was_closed_counts_no_longer(serving, monkeypatch):
    monkeypatch.setattr(connections, "MOST_KNOWN_AT", 2)
    monkeypatch.setattr(connections, "KNOWN_BY_NODE", 0)
    async with serving() as node:
        for n in range(8):
            answer = await node.remote("/livez", headers={"Connection": "close", "X-N": str(n)})
            assert answer.status == 200
