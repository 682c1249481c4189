"""The part of the API that looks closer: the journal, and why a unit is as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from pdsup import clock, typed
from pdsup.agent.agent import Agent
from pdsup.answers.explanation import Explanation
from pdsup.answers.status import Status
from pdsup.api import explain, metrics
from pdsup.api import status as cluster_status
from pdsup.api.openapi import MOST_EVENTS
from pdsup.api.scrape import Scrapes
from pdsup.errors import SupervisorError
from pdsup.journal import file
from pdsup.node.assignment import log_path
from pdsup.units.process.gpu import Gpu

# A first question about all nodes waits this long for those that were not asked before.
FIRST_ANSWERS_S = 2.5
# To ask the driver takes a tenth of a second, also when many want to know.
GPUS_KEPT_S = 2.0


class Answers:
    """What one agent knows, for those who only want to look."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._scraper = Scrapes(agent)

    def routes(self) -> list[web.RouteDef]:
        """All of them answer GET."""
        return [
            web.get("/v1/events", self._events),
            web.get("/v1/explain/{unit}", self._explain),
            web.get("/metrics", self._metrics),
        ]

    async def visit_all(self) -> None:
        """Has every node asked; returns when each has answered, or failed to, or in 2.5 s."""
        self.prolong_visit()
        await self._agent.wait_for_news(self._all_asked, FIRST_ANSWERS_S)

    def prolong_visit(self) -> None:
        """Has every node asked, for a while, by the next call at the latest."""
        self._agent.visit_all()

    def _all_asked(self) -> bool:
        return all(peer.asked for peer in self._agent.peers())

    async def gpus(self) -> Sequence[Gpu]:
        """Those of this node, where units have any, some seconds old at the most; none where they
        can't be known.
        """
        if not any(unit.plan.gpus for unit in self._agent.assignment.units):
            return ()
        return await self._agent.read_gpus(kept_s=GPUS_KEPT_S)

    def status(self, gpus: Sequence[Gpu], *, all_nodes: bool) -> Status:
        """The status JSON of this moment; ``gpus``: see above."""
        agent = self._agent
        own, peers, now = agent.report(), agent.peers(), clock.monotonic()
        return cluster_status.status(agent.plan, own, peers, now, gpus, all_nodes=all_nodes)

    async def _events(self, request: web.Request) -> web.Response:
        """Read in a thread: a network file system that hangs must not hold up supervision."""
        try:
            count = int(request.query.get("n", "50"))
        except ValueError:
            count = 0
        if not 1 <= count <= MOST_EVENTS:
            raise web.HTTPBadRequest(text=f"n must be 1 to {MOST_EVENTS}")
        unit, run_dir = request.query.get("unit"), Path(self._agent.assignment.place.run_dir)
        try:
            entries = await asyncio.to_thread(file.Journals(run_dir).news)
        except SupervisorError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from None
        found = [dict(one.raw) for one in entries if unit in (None, one.unit)]
        return web.json_response({"events": found[-count:]})

    async def _metrics(self, _: web.Request) -> web.Response:
        body = (await self._scraper.scrape()).encode()
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _explain(self, request: web.Request) -> web.Response:
        name = request.match_info["unit"]
        unit = self._agent.plan.by_name.get(name)
        if unit is None:
            hint = typed.suggestion(name, self._agent.plan.by_name)
            raise web.HTTPNotFound(text=f"cannot explain {name}: no such unit{hint}")
        await self.visit_all()
        explanation = self._explanation(name, await self.gpus())
        return web.json_response(explanation, dumps=typed.dumps)

    def _explanation(self, name: str, gpus: Sequence[Gpu]) -> Explanation:
        agent = self._agent
        unit, facts = agent.plan.by_name[name], agent.facts(name)
        nodes = self.status(gpus, all_nodes=True).nodes
        node = next(one for one in nodes if one.node == unit.node)
        shown = next(one for one in node.units if one.name == name)
        moment = explain.Now(clock.wall(), clock.monotonic())
        return Explanation(
            unit=shown,
            address=node.address,
            agent=node.agent,
            told_by=agent.node,
            gate=explain.gate(agent.plan, agent.gate(name, first=not shown.run)),
            next=explain.outlook(unit, shown.state, facts, moment),
            log=log_path(agent.assignment.place.run_dir, unit),
            run_dir=agent.assignment.place.run_dir,
        )
