"""The agent's HTTP API: everything on the control socket, signed GET requests on TCP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import valid_signals
from typing import Any

from aiohttp import web

from pdsup import clock, files, typed
from pdsup.address import endpoint, url
from pdsup.agent.agent import Agent
from pdsup.agent.commands import COMMANDS
from pdsup.agent.reload import complaint
from pdsup.answers.commands import EvidenceTaken, LogFile, LogFiles, PageLink
from pdsup.answers.reload import Replacing, reloading
from pdsup.api import openapi
from pdsup.api.access import LINK_S, NONCE, Access
from pdsup.api.beats import Beats
from pdsup.api.caller import caller
from pdsup.api.connections import IDLE_S, Connections, RequestLog
from pdsup.api.live import LivePage
from pdsup.api.openapi import LONGEST_WAIT_S
from pdsup.api.queries import Queries
from pdsup.bell import Bell
from pdsup.cluster.peers import BEATEN
from pdsup.cluster.report import to_json
from pdsup.errors import NothingThere, SupervisorError
from pdsup.journal.news import Log
from pdsup.journal.requests import Caller
from pdsup.node.assignment import log_path
from pdsup.plan.model import PlanUnit
from pdsup.printable import printable
from pdsup.units.process.holders import holder

# How long an agent that ends waits for followers that may not have its last report yet.
LAST_REPORT_S = 0.5
# There is no event when a follower hangs up: how often to check while waiting for one.
LOOK_S = 0.02
# Long polls are cut off when the agent ends, and other requests need no longer than this.
CLOSE_S = 0.2
VERSION = "X-Pdsup-Version"


class ControlSocket:
    """The control socket of one agent, at a path that somebody may remove."""

    def __init__(self, runner: web.AppRunner, path: Path) -> None:
        self._runner = runner
        self._path = path
        self._site: web.UnixSite | None = None
        self._bound: os.stat_result | None = None

    async def listen(self) -> None:
        """Listens, in place of whatever is there: the socket of a killed agent, for instance."""
        files.make_way(self._path)
        self._path.unlink(missing_ok=True)
        self._site = web.UnixSite(self._runner, str(self._path))
        await self._site.start()
        self._bound = self._path.lstat()

    async def restore(self) -> bool:
        """Listens again unless the socket is there; returns whether it was not. Raises OSError."""
        with contextlib.suppress(OSError):
            if self._bound and os.path.samestat(self._path.lstat(), self._bound):
                return False
        if self._site is not None:
            await self._site.stop()
            self._site = None
        await self.listen()
        return True


class Server:
    """The HTTP server of one agent."""

    def __init__(self, agent: Agent, token: str, log: Log) -> None:
        self._agent = agent
        self._request_log = RequestLog(log)
        self._access = Access(token, agent.assignment.place.node, agent.plan.address)
        self._connections = Connections(len(agent.plan.nodes))
        self._answers = Queries(agent)
        self._live = LivePage(agent, self._answers)
        # For each follower's connection, the report version that its last request says it has.
        self._followers: dict[asyncio.Transport, str] = {}
        self._asked = Bell()
        self._beats = Beats()
        self._socket: ControlSocket | None = None

    @asynccontextmanager
    async def serve(self, socket_path: Path) -> AsyncIterator[None]:
        """Listens on the control socket and on the node's address while the body runs.

        Raises SupervisorError when one of them can't be listened on.
        """
        local, remote = self._runner(self.local()), self._runner(self.remote())
        beating = asyncio.create_task(self._beats.run())
        port: asyncio.Server | None = None
        try:
            await remote.setup()
            port = await self._listen_to_nodes(remote)
            await local.setup()
            self._socket = ControlSocket(local, socket_path)
            await self._socket.listen()
            yield
        finally:
            await self._tell_last_report()
            self._agent.stop_waiting()
            beating.cancel()
            if port is not None:
                port.close()
            await asyncio.gather(local.cleanup(), remote.cleanup())
            with contextlib.suppress(OSError):
                socket_path.unlink(missing_ok=True)

    async def restore_socket(self) -> bool:
        """Listens on the control socket again if it was removed; returns whether it was."""
        return self._socket is not None and await self._socket.restore()

    def _runner(self, app: web.Application) -> web.AppRunner:
        return web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=CLOSE_S,
            logger=self._request_log,
            keepalive_timeout=IDLE_S,
        )

    async def _listen_to_nodes(self, runner: web.AppRunner) -> asyncio.Server:
        address, port = self._agent.assignment.address, self._agent.plan.control_port
        try:
            return await self._connections.listen(runner, address, port)
        except OSError as error:
            cause = error.strerror or str(error)
            if error.errno == errno.EADDRINUSE:
                cause = f"it is held by {holder(address, 'address', port)}"
            raise SupervisorError(f"cannot listen on {endpoint(address, port)}: {cause}") from None

    def _readable(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/report", self._report),
            web.get("/v1/status", self._status),
            web.get("/v1/openapi.json", self._describe),
            web.get("/livez", self._livez),
            web.get("/readyz", self._readyz),
            *self._answers.routes(),
            *self._live.routes(),
        ]

    def local(self) -> web.Application:
        """The application on the control socket: all routes, without authentication."""
        app = web.Application()
        app.add_routes(self._readable())
        app.add_routes(
            [
                web.get("/v1/logs", self._logs),
                web.get("/v1/logs/{unit}", self._log),
                web.post("/v1/reload", self._reload),
                web.post("/v1/link", self._link),
                web.post("/v1/shutdown", self._shutdown),
                web.post("/v1/units", self._command),
                web.post("/v1/evidence", self._evidence),
            ]
        )
        return app

    def remote(self) -> web.Application:
        """The application on TCP: only routes that read, with authentication."""
        app = web.Application(middlewares=[self._access.check, self._connections.know])
        app.on_response_prepare.append(self._access.sign)
        app.add_routes(self._readable())
        return app

    async def _tell_last_report(self) -> None:
        """Waits until followers have the last report.

        One that missed it would take this node's units for running until it counts the node as
        lost.
        """
        until = clock.monotonic() + LAST_REPORT_S
        while not self._all_told() and clock.monotonic() < until:
            await self._asked.wait_until(self._all_told, LOOK_S)

    def _all_told(self) -> bool:
        version = self._agent.report_version
        return all(has == version or to.is_closing() for to, has in self._followers.items())

    def _follows(self, request: web.Request) -> None:
        to = request.transport
        if to is None:
            return
        if to not in self._followers:
            self._followers = {t: has for t, has in self._followers.items() if not t.is_closing()}
        self._followers[to] = request.query.get("since", "")
        self._asked.ring()

    async def _report(self, request: web.Request) -> web.StreamResponse:
        self._follows(request)
        agent = self._agent
        waits = _wait(request) and request.query.get("since") == agent.report_version
        if waits and request.query.get("beats") == "1" and NONCE in request:
            return await self._beaten(request)
        if not await _newer(request, agent.wait_for_report, lambda: agent.report_version):
            return web.Response(status=304)
        return web.Response(body=to_json(agent.report()), content_type="application/json")

    async def _beaten(self, request: web.Request) -> web.StreamResponse:
        """Waits for a newer report, with beats that show that this agent moves: line feeds before
        the report, or alone when there is none, and then the signature.
        """
        agent = self._agent
        response = web.StreamResponse(headers={"Content-Type": BEATEN})
        await response.prepare(request)
        with self._beats.to(request, response):
            newer = await _newer(request, agent.wait_for_report, lambda: agent.report_version)
        body = to_json(agent.report()) if newer else b""
        signature = self._access.signature(request, 200, BEATEN, body)
        with suppress(ConnectionError):  # the follower has gone meanwhile
            await response.write_eof(body + signature.encode())
        return response

    async def _status(self, request: web.Request) -> web.Response:
        agent = self._agent
        every = request.query.get("all") == "1"
        if every:
            await self._answers.visit_all()
        if not await _newer(request, agent.wait_for_news, lambda: agent.version):
            return web.Response(status=304)
        gpus = await self._answers.gpus()
        value = self._answers.status(gpus, all_nodes=every)
        return web.json_response(value, headers={VERSION: agent.version}, dumps=typed.dumps)

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response(openapi.document(COMMANDS))

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        units = self._agent.report().units
        missing = [unit.name for unit in units if not (unit.ready or unit.ended_well)]
        text = f"not ready: {', '.join(missing)}\n" if missing else "ok\n"
        return web.Response(text=text, status=503 if missing else 200)

    async def _log(self, request: web.Request) -> web.Response:
        name = request.match_info["unit"]
        unit = self._agent.plan.by_name.get(name)
        if unit is None:
            hint = typed.names_instead(name, self._agent.plan.by_name)
            text = f"cannot show logs of {printable(name)}: no such unit{hint}"
            raise web.HTTPNotFound(text=text)
        return web.json_response(self._log_file(unit), dumps=typed.dumps)

    async def _logs(self, _: web.Request) -> web.Response:
        files = LogFiles(logs=tuple(map(self._log_file, self._agent.plan.units)))
        return web.json_response(files, dumps=typed.dumps)

    def _log_file(self, unit: PlanUnit) -> LogFile:
        return LogFile(
            path=log_path(self._agent.assignment.place.run_dir, unit),
            name=unit.name,
            kind=unit.kind,
            role=unit.role,
            gang=unit.gang,
            noise=unit.probes.progress.noise,
        )

    async def _reload(self, request: web.Request) -> web.Response:
        match _json(await request.read()):
            case {"agent": True}:
                with _refusing():
                    await self._agent.hand_over(self._caller(request))
                replacing = Replacing(replaced=self._agent.incarnation)
                return web.json_response(replacing, dumps=typed.dumps)
            case {"plan": None | str() as file, "dry_run": bool(dry)}:
                agent = self._agent
                try:
                    if dry:
                        loaded, changes = await agent.preview_plan(file)
                    else:
                        loaded, changes = await agent.change_plan(file, self._caller(request))
                except SupervisorError as error:
                    raise web.HTTPConflict(text=complaint(error)) from None
                answer = reloading(loaded.digest, changes)
                return web.json_response(answer, dumps=typed.dumps)
        raise web.HTTPBadRequest(
            text='the body must be {"agent": true} or {"plan": FILE or null, "dry_run": true or '
            "false}"
        )

    async def _link(self, _: web.Request) -> web.Response:
        address, port = self._agent.assignment.address, self._agent.plan.control_port
        link = PageLink(
            url=url(address, port, f"/?key={self._access.link()}"),
            address=address,
            port=port,
            seconds=LINK_S,
        )
        return web.json_response(link, dumps=typed.dumps)

    def _caller(self, request: web.Request) -> Caller:
        return caller(request, self._agent.node)

    async def _shutdown(self, request: web.Request) -> web.Response:
        match _json(await request.read()):
            case {"all": bool(everywhere)}:
                self._agent.end(self._caller(request), of_cluster=everywhere)
                return web.json_response({"ending": True})
        raise web.HTTPBadRequest(text='the body must be {"all": true or false}')

    async def _evidence(self, request: web.Request) -> web.Response:
        match _json(await request.read()):
            case {"units": [*names]} if _texts(names):
                with _refusing():
                    found = await self._agent.take_evidence(names, self._caller(request))
                run_dir = Path(self._agent.assignment.place.run_dir)
                taken = {
                    name: EvidenceTaken(directory=where and str(run_dir / where), problem=problem)
                    for name, (where, problem) in found.items()
                }
                return web.json_response(taken, dumps=typed.dumps)
        raise web.HTTPBadRequest(text='the body must be {"units": [NAME...]}')

    async def _command(self, request: web.Request) -> web.Response:
        """Queries once the units have the command; the status shows what comes of it."""
        order, who = _json(await request.read()), self._caller(request)
        match order:
            case {"command": "start" | "stop" | "restart" as verb, "units": [*names]} if _texts(
                names
            ):
                with _refusing():
                    before = self._agent.command(verb, names, who)
                return web.json_response(before, dumps=typed.dumps)
            case {"command": "signal", "signal": int(number), "units": [*names]} if (
                number is not True and number in valid_signals() and _texts(names)
            ):
                with _refusing():
                    reached = await self._agent.signal(number, names, who)
                return web.json_response(reached, dumps=typed.dumps)
        verbs = ", ".join(COMMANDS)
        raise web.HTTPBadRequest(
            text=f'the body must be {{"command": one of {verbs}, "units": [NAME...]}} '
            'or {"command": "signal", "signal": NUMBER, "units": [NAME...]}'
        )


async def _newer(
    request: web.Request,
    wait_until: Callable[[Callable[[], bool], float], Awaitable[bool]],
    version: Callable[[], str],
) -> bool:
    """Long poll: waits until the version is no longer ``since``, for at most ``wait`` seconds."""
    since = request.query.get("since")
    return await wait_until(lambda: version() != since, _wait(request))


def _wait(request: web.Request) -> float:
    try:
        wait = float(request.query.get("wait", "0"))
    except ValueError:
        wait = math.nan
    if not 0 <= wait <= LONGEST_WAIT_S:
        raise web.HTTPBadRequest(text=f"wait must be 0 to {LONGEST_WAIT_S:g} seconds")
    return wait


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Answers what a command raises with the status for it."""
    try:
        yield
    except NothingThere as error:
        raise web.HTTPNotFound(text=str(error)) from None
    except SupervisorError as error:
        raise web.HTTPConflict(text=str(error)) from None


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _json(body: bytes) -> Any:
    """The value of a body; None if it is not JSON, or holds half a character, which no unit or file
    has in its name.
    """
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # a UnicodeError is a ValueError
        return None
    return value
