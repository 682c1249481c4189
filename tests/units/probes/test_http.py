"""Questions over the wire to real servers."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import web

from pdsup.units.probes.http import MOST_BODY, Reply, cause, connect, get
from tests.units.servers import always, serving, talking

LIMIT = 60.0  # seconds, for anything that is going to happen
PORT = 8000


@pytest.mark.parametrize("status", [200, 204, 404, 503])
async def test_a_question_brings_the_status(address: str, status: int) -> None:
    async with serving(address, always(status)):
        assert (await get(address, PORT, "/health")).status == status


async def test_a_redirect_is_not_followed(address: str) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async with serving(address, answer):
        assert (await get(address, PORT, "/health")).status == 302
    assert asked == ["/health"]


async def test_a_path_keeps_its_query_and_names_the_host(address: str) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(f"{request.host} {request.path_qs}")
        return web.Response()

    async with serving(address, answer):
        await get(address, PORT, "/route?a=-1&b=2")
    assert asked == [f"{address}:{PORT} /route?a=-1&b=2"]


async def test_a_body_comes_whole_when_it_is_wanted_and_not_when_it_is_not(address: str) -> None:
    body = "ü" * 100_000
    async with serving(address, always(200, text=body)):
        assert (await get(address, PORT, "/")).body == b""
        assert (await get(address, PORT, "/", most=5)).body == body.encode()[:5]
        assert (await get(address, PORT, "/", most=MOST_BODY)).body == body.encode()


async def test_a_body_of_unknown_length_ends_with_the_connection(address: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one ")
        await response.write(b"two")
        return response

    async with serving(address, answer):
        assert await get(address, PORT, "/", most=100) == Reply(200, b"one two")


async def test_a_body_that_never_ends_does_not_hold_the_answer_up(address: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(OSError):
            while True:
                await response.write(b"x" * 1000)
                await asyncio.sleep(0)
        return response

    async with serving(address, answer), asyncio.timeout(LIMIT):
        assert (await get(address, PORT, "/")).status == 200
        assert len((await get(address, PORT, "/", most=5000)).body) == 5000


async def test_nobody_listening_is_a_refused_connection(address: str) -> None:
    with pytest.raises(ConnectionRefusedError):
        await get(address, PORT, "/")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00\xff\xfe nonsense\r\n\r\n",
        b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n",
    ],
    ids=["nothing", "bytes", "status", "version", "length", "long header", "half a head"],
)
async def test_an_answer_that_is_not_http_is_an_error(address: str, said: bytes) -> None:
    async with talking(address, said), asyncio.timeout(LIMIT):
        with pytest.raises((ValueError, OSError)) as found:
            await get(address, PORT, "/")
    assert str(found.value)


async def test_an_answer_that_comes_in_pieces_is_read_whole(address: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in (
            b"HTT",
            b"P/1.1 20",
            b"0 OK\r\nContent-Le",
            b"ngth: 4\r\n\r",
            b"\nab",
            b"cdef",
        ):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_server(talk, address, PORT), asyncio.timeout(LIMIT):
        assert await get(address, PORT, "/", most=100) == Reply(200, b"abcd")


async def test_every_question_has_a_connection_of_its_own(address: str) -> None:
    """A kept connection would hide that the port has closed since."""
    heard: set[object] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        heard.add(request.transport.get_extra_info("peername"))
        return web.Response()

    async with serving(address, answer):
        for _ in range(3):
            await get(address, PORT, "/")
    assert len(heard) == 3


async def test_a_connect_returns_when_somebody_accepts(address: str) -> None:
    async with talking(address, b""):
        await connect(address, PORT)
    with pytest.raises(OSError):
        await connect(address, PORT)


def test_a_cause_is_never_empty() -> None:
    assert cause(TimeoutError()) == "no answer in time"
    assert cause(ConnectionRefusedError()) == "connection refused"
    assert cause(aiohttp.ServerDisconnectedError()) == "Server disconnected"
    assert cause(OSError()) == "OSError"
