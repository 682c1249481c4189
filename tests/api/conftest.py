"""The API of an agent whose units the test moves: the agent is real, but it is not run."""

import asyncio
import contextlib
import json
import secrets
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest

from pdsup import clock
from pdsup.agent import parts
from pdsup.agent.agent import Agent
from pdsup.api.server import Server
from pdsup.node import signatures
from pdsup.units.ledger import Ledger
from pdsup.units.process.guardian_link import GuardianLink
from tests.bed.agents import _wait_for, agents, assignment, shared_agents
from tests.bed.log import quiet
from tests.bed.network import TOKEN
from tests.bed.reports import digest, plan, report, unit_report, until


class Answer:
    """What the API said."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Asking:
    """A client of one listener; on TCP it signs, unless it is told not to."""

    def __init__(self, session, base, node, signs):
        self.session, self.base, self.node, self.signs = session, base, node, signs

    async def __call__(self, path, method="GET", headers=None, **options) -> Answer:
        given = {}
        if self.signs:
            given = signatures.headers(
                TOKEN, method, path, self.node, clock.wall(), secrets.token_hex(4)
            )
        given |= headers or {}
        url = f"{self.base}{path}"
        async with self.session.request(method, url, headers=given, **options) as response:
            return Answer(response.status, response.headers, await response.read())


@pytest.fixture
def serving(plan, assignment, tmp_path):
    """The API of a node: ``local`` asks on the control socket, ``remote`` on the network."""

    @contextlib.asynccontextmanager
    async def made(node="node3", plan=plan):
        socket = tmp_path / f"{node}.sock"
        async with (
            aiohttp.ClientSession() as session,
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as unix,
            asyncio.TaskGroup() as tasks,
        ):
            log, logged = quiet()
            built = parts.build(
                assignment(node, plan),
                TOKEN,
                session,
                tasks,
                GuardianLink(None),
                Ledger(),
                log,
            )
            agent = Agent(built)
            remote = f"http://{plan.address[node]}:{plan.control_port}"
            try:
                async with Server(agent, TOKEN, log).serve(socket):
                    yield SimpleNamespace(
                        agent=agent, parts=built, socket=socket, logged=logged,
                        local=Asking(unix, "http://localhost", node, False),
                        remote=Asking(session, remote, node, True),
                        unsigned=Asking(session, remote, node, False),
                    )  # fmt: skip
            finally:
                await built.peers.close()

    return made
