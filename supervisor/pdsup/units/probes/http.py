"""A minimal HTTP client for probes: one request per connection, as cheap as possible.

A kept-alive connection would hide that the port has closed since, and a general client costs four
times as much CPU per request. It speaks HTTP/1.0, to which no server may reply in chunks.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, Protocol, cast

from pdsup.address import endpoint
from pdsup.plan.model import Check
from pdsup.units.probes.health import Answer, No, Yes

MOST_HEAD = 1 << 15  # bytes
MOST_BODY = 1 << 20
# Of answers that hold a report (1000 units: 700 KB), or the metrics of a router.
MOST_ANSWER = 8 << 20


async def get(address: str, port: int, path: str, *, most: int = 0) -> Reply:
    """Sends ``GET path``; returns the status, and at most ``most`` bytes of the body.

    Redirects are not followed, as they may lead to another unit. Raises OSError if the connection
    fails, UnicodeError if the address is not a host name, ValueError if the reply is not HTTP. It
    has no time limit of its own.
    """
    return await _exchange(address, port, _head("GET", path, address, port), most)


async def post(address: str, port: int, path: str, body: str) -> Reply:
    """Sends ``POST path`` with a JSON body; returns the status. Raises as ``get`` does."""
    data = body.encode()
    more = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return await _exchange(address, port, _head("POST", path, address, port, more) + data, 0)


async def connect(address: str, port: int) -> None:
    """Opens a TCP connection and closes it; raises OSError if that fails."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, address, port)
    transport.close()


class Content(Protocol):
    """The body of an answer, as aiohttp gives it."""

    async def read(self, n: int = -1, /) -> bytes:
        """At most ``n`` bytes that have arrived; none at the end."""


async def read_at_most(content: Content, most: int) -> bytes:
    """The whole body of an answer. Raises ValueError if it is longer than ``most`` bytes."""
    got = bytearray()
    while chunk := await content.read(most + 1 - len(got)):
        got += chunk
        if len(got) > most:
            raise ValueError(f"its answer is longer than {most} bytes")
    return bytes(got)


def cause(error: Exception) -> str:
    """Why a connection or request failed, in a few words."""
    error = getattr(error, "os_error", error)  # aiohttp wraps the error of the system
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error) or type(error).__name__


def _head(method: str, path: str, address: str, port: int, more: str = "") -> bytes:
    host = f"Host: {endpoint(address, port)}"
    return f"{method} {path} HTTP/1.0\r\n{host}\r\nConnection: close\r\n{more}\r\n".encode()


async def _exchange(address: str, port: int, request: bytes, most: int) -> Reply:
    loop = asyncio.get_running_loop()
    exchange = _Exchange(request, most, loop.create_future())
    transport, _ = await loop.create_connection(lambda: exchange, address, port)
    try:
        return await exchange.reply
    finally:
        transport.abort()


class _Exchange(asyncio.Protocol):
    def __init__(self, request: bytes, most: int, reply: asyncio.Future[Reply]) -> None:
        self.reply = reply
        self._request = request
        self._most = most
        self._got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        self._look(over=False)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self.reply.done():
            self.reply.set_exception(exc)
        self._look(over=True)

    def _look(self, *, over: bool) -> None:
        if self.reply.done():
            return
        try:
            reply = _read(bytes(self._got), self._most, over=over)
        except ValueError as error:
            self.reply.set_exception(error)
            return
        if reply is not None:
            self.reply.set_result(reply)


def _read(got: bytes, most: int, *, over: bool) -> Reply | None:
    """Parses the reply if it is complete, else None; ``over``: the server closed the connection."""
    head, end, body = got.partition(b"\r\n\r\n")
    if not end or len(head) > MOST_HEAD:
        if over or len(got) > MOST_HEAD:
            raise ValueError("the reply is not HTTP" if got else "connection closed, no reply")
        return None
    status, *headers = head.split(b"\r\n")
    wanted = min(most, _length(headers))
    if len(body) < wanted and not over:
        return None
    return Reply(_status(status), body[:wanted])


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    number = rest[:3]
    if not version.startswith(b"HTTP/1.") or not number.isdigit() or rest[3:4] not in (b"", b" "):
        raise ValueError("the reply is not HTTP")
    return int(number)


def _length(headers: list[bytes]) -> int:
    for header in headers:
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"content-length":
            if not value.strip().isdigit():
                raise ValueError("the reply is not HTTP")
            return int(value)
    return MOST_BODY


_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Reply:
    """The status of a reply, and as much of its body as was wanted."""

    status: int
    body: bytes = b""


def wants_body(check: Check) -> bool:
    """Whether the check needs the body."""
    return check.body is not None or check.field is not None or check.gauges is not None


def judge(check: Check, reply: Reply) -> Answer:
    """The answer to a check with a path, without its gauges."""
    if reply.status in check.skip:
        return Yes()
    if not _is_wanted(check, reply.status):
        return No(f"HTTP {reply.status}")
    if not wants_body(check):
        return Yes()
    text = reply.body.decode(errors="replace")
    if check.body is not None and not re.search(check.body, text):
        return No(f"no match for {check.body} in the reply")
    return Yes() if check.field is None else _field(check.field, check.equals, text)


def _is_wanted(check: Check, status: int) -> bool:
    return status in check.status if check.status else status // 100 == 2


def _field(path: str, equals: str | None, text: str) -> Answer:
    try:
        value = _inside(json.loads(text), path.split("."))
    except (ValueError, RecursionError):
        return No("the reply is not JSON")
    except LookupError:
        return No(f"no {path} in the reply")
    if equals is None:
        return Yes() if value else No(f"{path} is empty")
    shown = value if isinstance(value, str) else json.dumps(value)
    return Yes() if shown == equals else No(f"{path} is {shown[:_SHOWN]}, not {equals}")


def _inside(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if isinstance(value, list) and key.isdecimal():
            value = value[int(key)]
        elif isinstance(value, dict):
            value = value[key]
        else:
            raise KeyError(key)
    return value
