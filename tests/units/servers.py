"""Real servers for questions: HTTP that answers as told, and listeners that are no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web


@contextlib.asynccontextmanager
async def serving(
    address: str, answer: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int = 8000
) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()


def always(status: int, **how) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, **how)

    return answer


@contextlib.asynccontextmanager
async def talking(address: str, said: bytes | None) -> AsyncIterator[list[bytes]]:
    """A listener that is no HTTP server: it says ``said`` and hangs up, or nothing (None)."""
    heard: list[bytes] = []
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            heard.append(await reader.read(4096))
            if said is None:
                await over.wait()
            else:
                writer.write(said)
            writer.close()

    server = await asyncio.start_server(talk, address, 8000)
    try:
        yield heard
    finally:
        over.set()
        server.close()
