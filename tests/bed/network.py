"""The reports of other nodes: as an agent gives them, over HTTP, or without any network.

``api/test_report_contract.py`` holds both to what the API of a real agent does.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from pdsup.cluster.peers import BEATEN
from pdsup.cluster.report import Report, to_json
from pdsup.node import signatures
from pdsup.plan.model import Plan

TOKEN = signatures.made_of("t" * 64)


class Reports:
    """What one agent answers to a long poll."""

    def __init__(self, report: Report | None = None) -> None:
        self.report = report
        self._changed = asyncio.Condition()

    async def publish(self, report: Report) -> None:
        self.report = report
        await self.wake()

    async def wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def answer(self, since: str, wait: float, other=lambda: False) -> bytes | None:
        """The report once its version is not ``since``; None when the wait has ended, or when
        something ``other`` is to be answered.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait), self._changed:
                await self._changed.wait_for(lambda: other() or self._is_news(since))
        return to_json(self.report) if self._is_news(since) and not other() else None

    def _is_news(self, since: str) -> bool:
        return self.report is not None and self.report.version != since


async def beaten(request, node: str, beats: int, over: asyncio.Event) -> web.StreamResponse:
    """Answers as an agent whose loop moves for some beats, and has no news when it is ``over``."""
    nonce = request.headers[signatures.NONCE]
    head = signatures.sign_head(TOKEN, node, nonce, 200, BEATEN)
    response = web.StreamResponse(headers={"Content-Type": BEATEN, signatures.SIGNATURE: head})
    await response.prepare(request)
    for _ in range(beats):
        await response.write(b"\n")
    await over.wait()
    await response.write_eof(signatures.sign_answer(TOKEN, node, nonce, 200, BEATEN, b"").encode())
    return response


class FakePeer:
    """The agent of a node, as others see it; ``answer`` replaces what it would answer. It signs all
    answers that are not streams, unless it does not sign, as version 0.1.0.
    """

    def __init__(self, address, port, report, *, token=TOKEN, signs=True):
        self.token, self.signs = token, signs
        self.address, self.port, self.node = address, port, report.node
        self.asked = []
        self.refusals = []
        self.answer = None
        self._reports = Reports(report)
        self._runner = None

    @property
    def report(self) -> Report:
        return self._reports.report

    @report.setter
    def report(self, report: Report) -> None:
        self._reports.report = report

    async def start(self):
        app = web.Application()
        app.router.add_get("/{path:.*}", self.handle)
        app.on_response_prepare.append(self._sign)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, self.port).start()

    async def stop(self):
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def publish(self, report=None, answer=None):
        self.answer = answer
        await self._reports.publish(report or self.report)

    async def _sign(self, request, response):
        if self.signs and type(response) is web.Response:
            kind, body = response.headers.get("Content-Type", ""), response.body or b""
            nonce = request.headers[signatures.NONCE]
            right = signatures.sign_answer(
                self.token, self.node, nonce, response.status, kind, body
            )
            response.headers.setdefault(signatures.SIGNATURE, right)

    async def handle(self, request):
        if request.path == "/elsewhere":
            return web.Response(body=to_json(self.report))
        path, headers = request.raw_path, request.headers
        self.refusals.append(signatures.refusal(self.token, "GET", path, self.node, headers))
        if self.refusals[-1]:
            return web.Response(status=401)
        since, wait = request.query["since"], float(request.query["wait"])
        self.asked.append((since, wait))
        body = await self._reports.answer(since, wait, lambda: self.answer is not None)
        if self.answer:
            return await self.answer(request)
        if body is None:
            return web.Response(status=304)
        return web.Response(body=body)


class _Answer:
    """A response of aiohttp, as far as it is read."""

    def __init__(self, ask, node, nonce):
        self._ask, self._node, self._nonce = ask, node, nonce
        self.status, self._body = 0, b""
        self.headers = {}
        self.content = self

    async def __aenter__(self):
        self.status, self._body = await self._ask
        right = signatures.sign_answer(TOKEN, self._node, self._nonce, self.status, "", self._body)
        self.headers[signatures.SIGNATURE] = right
        return self

    async def __aexit__(self, *_):
        return None

    async def read(self, most: int) -> bytes:
        part, self._body = self._body[:most], self._body[most:]
        return part


class FakeNetwork:
    """The session of a real ``Peers``, without a network: nodes answer what a test publishes.

    A node that has published nothing does not answer, as one whose machine still boots.
    """

    def __init__(self, plan: Plan) -> None:
        self._node = {node.address: node.name for node in plan.nodes}
        self._reports = {node.name: Reports() for node in plan.nodes}
        self._cut: set[str] = set()

    async def publish(self, report: Report) -> None:
        """What the node of a report says from now on, as it can be reached."""
        self._cut.discard(report.node)
        await self._reports[report.node].publish(report)

    async def cut(self, node: str) -> None:
        """Nothing comes from a node any longer, and the kernel knows."""
        self._cut.add(node)
        await self._reports[node].wake()

    def get(self, url, *, headers, timeout, allow_redirects) -> _Answer:
        parts = urlsplit(url)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = f"{parts.path}?{parts.query}"
        node = self._node[parts.hostname]
        refused = signatures.refusal(TOKEN, "GET", path, node, headers)
        answer = self._ask(node, asked.get("since", ""), float(asked["wait"]), refused)
        return _Answer(answer, node, headers[signatures.NONCE])

    async def _ask(self, node, since, wait, refused) -> tuple[int, bytes]:
        reports = self._reports[node]
        if refused:
            return 401, b""
        if reports.report is None and node not in self._cut:
            wait = None
        body = await reports.answer(since, wait, lambda: node in self._cut)
        if node in self._cut:
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        return (304, b"") if body is None else (200, body)
