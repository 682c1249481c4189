"""Who may hold a connection to the agent's port, and what is logged of requests that are none.

Anyone may connect. A connection that brought no authenticated request is closed after
``FIRST_REQUEST_S`` seconds; of these only ``MOST_UNKNOWN`` stay open, the newest, since an agent
sends its request at once, and ``MOST_UNKNOWN_AT`` of one address. Others are counted by address,
too: an agent needs one or two, and has one request under way on each. Descriptors are kept free: an
agent that has none can't start a unit or write its journal, and its own user could no longer ask it
on the control socket.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from pdsup import clock
from pdsup.api.access import Handler
from pdsup.journal.news import Log
from pdsup.printable import printable
from pdsup.units.process.defects import Defects

FIRST_REQUEST_S = 10.0
MOST_UNKNOWN = 256
MOST_UNKNOWN_AT = 64
# Authenticated connections of one address: pages, scrapes, and on a machine that stands for a whole
# cluster (``pdsup up``) those of all its agents, each of which may be replaced.
MOST_KNOWN_AT = 64
KNOWN_BY_NODE = 4
# How long a connection may stay open between two requests.
IDLE_S = 75.0
# The loop accepts all that wait at once, before it hears of the first: BACKLOG of them, and 64 more
# descriptors are for what the agent opens itself.
BACKLOG = 128
RESERVE = BACKLOG + 64
# What one line of the log tells of a request, and how often.
MOST_CHARACTERS = 200
LOG_S = 1.0


class Connections:
    """The TCP connections of one agent. ``nodes``: how many the cluster has."""

    def __init__(self, nodes: int) -> None:
        # Those that have brought no authenticated request yet, the oldest first; and by address.
        self._unknown: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        self._unknown_at: dict[str, dict[asyncio.Transport, None]] = {}
        self._known_at: dict[str, set[asyncio.Transport]] = {}
        self._most_known_at = MOST_KNOWN_AT + KNOWN_BY_NODE * nodes
        self._most_addresses = self._most_known_at

    async def listen(self, runner: web.AppRunner, address: str, port: int) -> asyncio.Server:
        """Listens for the server of ``runner``. Raises OSError."""
        server = runner.server
        if server is None:
            raise AssertionError("the runner was not set up")
        return await asyncio.get_running_loop().create_server(
            lambda: _Arrival(self._opened, server), address, port, backlog=BACKLOG
        )

    @web.middleware
    async def know(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets the connection of a request stay open. Comes after the authentication."""
        if request.transport in self._unknown:
            self._forget(request.transport)
            if not self._is_welcome(request.transport):
                refusal = web.HTTPServiceUnavailable(text="too many connections of this address")
                refusal.force_close()
                raise refusal
        return await handler(request)

    def _is_welcome(self, transport: asyncio.Transport) -> bool:
        """Whether its address has few authenticated connections; then it is one of them."""
        if len(self._known_at) >= self._most_addresses:
            living = {at: _open(known) for at, known in self._known_at.items()}
            self._known_at = {at: known for at, known in living.items() if known}
            self._most_addresses = 2 * len(self._known_at) + MOST_KNOWN_AT
        address = _address(transport)
        known = _open(self._known_at.get(address, set()))
        if is_welcome := len(known) < self._most_known_at:
            known.add(transport)
        self._known_at[address] = known
        return is_welcome

    def _opened(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        self._unknown[transport] = loop.call_later(FIRST_REQUEST_S, self._end, transport)
        same = self._unknown_at.setdefault(_address(transport), {})
        same[transport] = None
        if len(same) > MOST_UNKNOWN_AT:
            self._end(next(iter(same)))
        elif len(self._unknown) > MOST_UNKNOWN or _is_scarce(transport):
            self._end(next(iter(self._unknown)))

    def _end(self, transport: asyncio.Transport) -> None:
        self._forget(transport)
        transport.abort()

    def _forget(self, transport: asyncio.Transport) -> None:
        self._unknown.pop(transport).cancel()
        address = _address(transport)
        same = self._unknown_at[address]
        del same[transport]
        if not same:
            del self._unknown_at[address]


def _open(transports: set[asyncio.Transport]) -> set[asyncio.Transport]:
    return {each for each in transports if not each.is_closing()}


def _address(transport: asyncio.Transport) -> str:
    """Where a connection comes from; "" if it was closed while it was made."""
    return str((transport.get_extra_info("peername") or ("",))[0])


class _Arrival(asyncio.Protocol):
    """A new connection, until ``make`` has made the protocol that serves it."""

    def __init__(
        self, opened: Callable[[asyncio.Transport], None], make: Callable[[], asyncio.Protocol]
    ) -> None:
        self._opened = opened
        self._make = make

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hands the connection over."""
        connection = cast(asyncio.Transport, transport)
        protocol = self._make()
        connection.set_protocol(protocol)
        protocol.connection_made(connection)
        self._opened(connection)


def _is_scarce(transport: asyncio.Transport) -> bool:
    """Whether descriptors run out: the kernel gives each connection the lowest free number."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    number: int = transport.get_extra_info("socket").fileno()
    return number >= limit - min(RESERVE, limit // 2)


# Half a request: the client went away, or sent what is no body.
OF_CLIENTS = (HttpProcessingError, ConnectionError, web.RequestPayloadError)


class RequestLog:
    """In place of aiohttp's logger, which writes a traceback and all bytes of what is no request:
    one short line a second at most, so that nobody can fill a disk.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._defects = Defects(log)
        self._next = float("-inf")
        self._left_out = 0

    def debug(self, *_: object, **__: object) -> None:
        """Nothing that a user should know."""

    def exception(self, text: str, *values: object, exc_info: object = None) -> None:
        """Logs why a request was not answered; a defect with its traceback, once."""
        if isinstance(exc_info, Exception) and not isinstance(exc_info, OF_CLIENTS):
            self._defects.tell("a request", exc_info)
            return
        if clock.monotonic() < self._next:
            self._left_out += 1
            return
        cause = printable(f"{text % values}: {exc_info!r:.{MOST_CHARACTERS}}")[:MOST_CHARACTERS]
        self._log.warning("what came is no request", cause=cause, others=self._left_out)
        self._next, self._left_out = clock.monotonic() + LOG_S, 0
