"""The live page, and the stream of server-sent events that feeds it."""

from __future__ import annotations

import asyncio
import importlib.resources
from pathlib import Path
from typing import Any

from aiohttp import web

from pdsup import clock, typed
from pdsup.agent.agent import Agent
from pdsup.answers.status import Status
from pdsup.api.queries import Queries
from pdsup.errors import SupervisorError
from pdsup.journal.entry import Entry
from pdsup.journal.file import Journals
from pdsup.threads import Turns

# A change is sent at once, the next one not before LEAST_S; without any, a comment every ALIVE_S
# keeps the connection open. The journals are read at least every TICK_S.
LEAST_S = 0.2
TICK_S = 1.0
ALIVE_S = 10.0
MOST_STREAMS = 32
PAST_EVENTS = 50
# Read of the end of each journal for them: a line has some 400 bytes, a journal may have 60 MB.
PAST_BYTES = 1 << 17
# A page without events is better than one that stands still.
READ_S = 1.0
# The page loads nothing from other sites, and none of them may embed it.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class LivePage:
    """The live page of one agent. It shows the whole cluster and can't change anything."""

    def __init__(self, agent: Agent, answers: Queries) -> None:
        self._agent = agent
        self._answers = answers
        self._streams: set[asyncio.Transport] = set()
        self._turns = Turns()
        self._page = importlib.resources.files("pdsup.api").joinpath("page.html").read_bytes()

    def routes(self) -> list[web.RouteDef]:
        """The routes of the page and its stream; both are GET."""
        return [web.get("/", self._show), web.get("/v1/stream", self._stream)]

    async def _show(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return web.Response(body=self._page, content_type="text/html", headers=headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        # A stream that has nothing to write is the last to notice that its page was closed.
        if sum(not to.is_closing() for to in self._streams) >= MOST_STREAMS:
            raise web.HTTPServiceUnavailable(text=f"{MOST_STREAMS} pages are open already")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        to = request.transport
        if to is None:  # the browser has gone already
            return response
        self._streams.add(to)
        try:
            await response.prepare(request)
            await self._feed(to, response)
        except ConnectionError:  # the browser has gone
            pass
        finally:
            self._streams.discard(to)
        return response

    async def _feed(self, to: asyncio.Transport, response: web.StreamResponse) -> None:
        agent, sent, alive = self._agent, "", clock.monotonic()
        journals = Journals(Path(agent.assignment.place.run_dir), PAST_BYTES)
        events = await self._news(journals)
        await self._answers.visit_all()
        while not (to.is_closing() or agent.waits_for_nothing):
            if agent.version != sent or events:
                gpus = await self._answers.gpus()
                sent = agent.version
                status = self._answers.status(gpus, all_nodes=True)
                await response.write(_message(status, events[-PAST_EVENTS:]))
                alive = clock.monotonic()
            elif clock.monotonic() - alive > ALIVE_S:
                await response.write(b":\n\n")
                alive = clock.monotonic()
            await asyncio.sleep(LEAST_S)
            await agent.wait_for_news(lambda: agent.version != sent, TICK_S)  # noqa: B023
            events = await self._news(journals)
            self._answers.prolong_visit()

    async def _news(self, journals: Journals) -> list[Entry]:
        """The new journal entries, without those that only change a reason.

        Reads in a thread: a network file system that hangs must not block the loop.
        """
        try:
            entries = await self._turns.run(journals.news, READ_S)
            return [entry for entry in entries if entry.changes or entry.to is None]
        except (SupervisorError, TimeoutError):
            return []


def _message(status: Status, events: list[Entry]) -> bytes:
    value = {"now": clock.wall(), "status": status, "events": [_event(entry) for entry in events]}
    return f"data: {typed.dumps(value, separators=(',', ':'))}\n\n".encode()


def _event(entry: Entry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "node": entry.node,
        "unit": entry.unit,
        "run": entry.run,
        "event": entry.event,
        "before": entry.before or "",
        "to": entry.to or "",
        "reason": entry.reason,
    }
