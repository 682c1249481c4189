"""The part of the API for people who look at a cluster: status, journal, metrics, explanations."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import assert_never

import aiohttp
from aiohttp import web

from pdsup import clock, typed
from pdsup.agent.agent import Agent
from pdsup.answers.checks import FreshChecks, FreshNo
from pdsup.answers.explanation import Explanation, ProcessUse
from pdsup.answers.status import Status, UnitStatus
from pdsup.api import explain, metrics
from pdsup.api import status as cluster_status
from pdsup.api.openapi import MOST_EVENTS
from pdsup.api.scrape import Scrapes
from pdsup.errors import SupervisorError
from pdsup.journal import file
from pdsup.node.assignment import log_path
from pdsup.plan import masks
from pdsup.plan.front import front_of
from pdsup.printable import printable
from pdsup.threads import Turns, apart
from pdsup.times import duration
from pdsup.units.facts import Facts
from pdsup.units.probes.health import Answer, No, Unasked, Yes
from pdsup.units.process import proc
from pdsup.units.process.gpu import Gpu
from pdsup.units.process.tree import Row

# How long a first request about all nodes waits for those that were not followed before.
FIRST_ANSWERS_S = 2.5
# It ends when none has answered for this long: a node that stands still never does.
QUIET_S = 0.4
# Reading the GPUs takes a tenth of a second, so clients share a reading for this long.
GPUS_KEPT_S = 2.0
# For the journals of all nodes, from a file system that may hang.
READ_S = 5.0
# An engine has hundreds of processes; these are read from /proc, within this many seconds.
# How much of the end of each journal is read for some events, of which most are shorter.
LEAST_BYTES, BYTES_OF_EVENT = 1 << 20, 1 << 10
MOST_PROCESSES = 24
PROCESSES_S = 2.0
# Longer than two questions in a row to an engine that does not answer; some were under way.
FRESH_S = 60.0
GRACE_S = 5.0


class Queries:
    """What one agent knows, for clients that only read."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._scraper = Scrapes(agent)
        self._turns = Turns()
        self._url = front_of(agent.plan)

    def routes(self) -> list[web.RouteDef]:
        """The routes; all are GET."""
        return [
            web.get("/v1/events", self._events),
            web.get("/v1/explain/{unit}", self._explain),
            web.get("/v1/checks", self._checks),
            web.get("/metrics", self._metrics),
        ]

    async def visit_all(self) -> None:
        """Follows every node; returns when each has answered or failed to, or none has for 0.4 s,
        at most after 2.5 s.
        """
        self.prolong_visit()
        until, before = clock.monotonic() + FIRST_ANSWERS_S, -1
        while (asked := self._asked()) > before and clock.monotonic() < until:
            before = asked
            await self._agent.wait_for_news(self._all_asked, QUIET_S)
            if self._all_asked():
                return

    def prolong_visit(self) -> None:
        """Keeps following every node for a while; call it again before that ends."""
        self._agent.visit_all()

    def _asked(self) -> int:
        return sum(peer.asked for peer in self._agent.peers())

    def _all_asked(self) -> bool:
        return all(peer.asked for peer in self._agent.peers())

    async def gpus(self) -> Sequence[Gpu]:
        """This node's GPUs, at most 2 s old; empty if no unit has any or they can't be read."""
        if not any(unit.plan.gpus for unit in self._agent.assignment.units):
            return ()
        return await self._agent.read_gpus(kept_s=GPUS_KEPT_S)

    def status(self, gpus: Sequence[Gpu], *, all_nodes: bool) -> Status:
        """The status JSON as of now; ``gpus``: this node's, from ``gpus()``."""
        agent = self._agent
        own, peers, now = agent.report(), agent.peers(), clock.monotonic()
        return cluster_status.status(
            agent.plan,
            own,
            peers,
            now,
            gpus,
            all_nodes=all_nodes,
            url=self._url,
            commands=agent.last_commands,
            wall=clock.wall(),
        )

    async def _events(self, request: web.Request) -> web.Response:
        """Reads in a thread: a network file system that hangs must not block the loop."""
        try:
            count = int(request.query.get("n", "50"))
        except ValueError:
            count = 0
        if not 1 <= count <= MOST_EVENTS:
            raise web.HTTPBadRequest(text=f"n must be 1 to {MOST_EVENTS}")
        unit, run_dir = request.query.get("unit"), Path(self._agent.assignment.place.run_dir)
        try:
            journals = file.Journals(run_dir, max(LEAST_BYTES, count * BYTES_OF_EVENT))
            entries = await self._turns.run(journals.news, READ_S)
        except SupervisorError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from None
        except TimeoutError:
            raise web.HTTPServiceUnavailable(
                text=f"cannot read the journals: no answer from {run_dir} in {duration(READ_S)}"
            ) from None
        events = [dict(entry.raw) for entry in entries if unit in (None, entry.unit)]
        return web.json_response({"events": events[-count:]})

    async def _metrics(self, _: web.Request) -> web.Response:
        body = (await self._scraper.scrape()).encode()
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _checks(self, request: web.Request) -> web.Response:
        wrong = await self._own_checks()
        if request.query.get("all") == "1":
            await self.visit_all()
            others = [each.node for each in self._agent.peers() if each.problem is None]
            for found in await asyncio.gather(*map(self._checks_of, others)):
                wrong += found
        return web.json_response(FreshChecks(wrong=tuple(wrong)), dumps=typed.dumps)

    async def _own_checks(self) -> list[FreshNo]:
        answers, node = await self._agent.ask_afresh(FRESH_S), self._agent.node
        ahead, mask = clock.wall() - clock.monotonic(), self._agent.mask
        return [
            FreshNo(unit=unit, node=node, problem=mask(_wrong(answer)), since=since + ahead)
            for unit, (answer, since) in answers.items()
            if not isinstance(answer, Yes)
        ]

    async def _checks_of(self, node: str) -> list[FreshNo]:
        """What another node finds. One that can't be reached is known as lost; an agent of 0.1.0
        can't be asked this.
        """
        try:
            body = await self._agent.ask_node(node, "/v1/checks", FRESH_S + GRACE_S)
            found, _ = typed.read(FreshChecks, json.loads(body))
        except (OSError, ValueError, RecursionError, aiohttp.ClientError):
            return []
        return list(found.wrong) if found else []

    async def _explain(self, request: web.Request) -> web.Response:
        name = request.match_info["unit"]
        unit = self._agent.plan.by_name.get(name)
        if unit is None:
            hint = typed.names_instead(name, self._agent.plan.by_name)
            raise web.HTTPNotFound(text=f"cannot explain {printable(name)}: no such unit{hint}")
        await self.visit_all()
        explanation = self._explanation(name, await self.gpus())
        if unit.node == self._agent.node:
            explanation = await self._with_own(explanation)
        return web.json_response(explanation, dumps=typed.dumps)

    async def _with_own(self, told: Explanation) -> Explanation:
        """The explanation of a unit of this node with what only this agent knows."""
        name, agent = told.unit.name, self._agent
        unit = next(unit for unit in agent.assignment.units if unit.plan.name == name)
        mask = agent.mask
        watch, now = agent.watch(name), explain.Now(clock.wall(), clock.monotonic())
        if watch is None:
            return replace(told, command=mask.command(unit.command))
        rows, more = list[Row](), 0
        with contextlib.suppress(TimeoutError, OSError):
            pid = watch.subject.pid
            rows, more = await apart(lambda: proc.rows(pid, MOST_PROCESSES), PROCESSES_S)
        outlook = told.next
        if watch.dies_at is not None:
            outlook = explain.outlook(
                unit.plan, told.unit.state, agent.facts(name), now, watch.dies_at
            )
        return replace(
            told,
            command=mask.command(unit.command),
            checks=tuple(
                replace(each, what=mask(each.what), detail=mask(each.detail))
                for each in explain.checks(
                    unit.plan, unit.local_address, watch.latest(), now.monotonic
                )
            ),
            processes=tuple(ProcessUse(**asdict(row)) for row in rows),
            more_processes=more,
            next=outlook,
        )

    def _explanation(self, name: str, gpus: Sequence[Gpu]) -> Explanation:
        agent = self._agent
        unit, facts = agent.plan.by_name[name], agent.facts(name)
        nodes = self.status(gpus, all_nodes=True).nodes
        node = next(status for status in nodes if status.node == unit.node)
        shown = next((status for status in node.units if status.name == name), None)
        if shown is None:
            text = f"cannot explain {name}: the agent of {unit.node} does not have this plan yet"
            raise web.HTTPNotFound(text=text)
        moment = explain.Now(clock.wall(), clock.monotonic())
        decision = agent.gate(name, first=_never_ran(shown, facts))
        return Explanation(
            unit=shown,
            address=node.address,
            agent=node.agent,
            told_by=agent.node,
            gate=explain.gate(agent.plan, decision, agent.tried, moment.monotonic),
            next=explain.outlook(
                unit, shown.state, facts, moment, gate_open=decision.reason is None
            ),
            log=log_path(agent.assignment.place.run_dir, unit),
            noise=unit.probes.progress.noise,
            run_dir=agent.assignment.place.run_dir,
            command=agent.mask.command(unit.command),
            has_secrets=masks.has_secrets(agent.plan),
        )


def _wrong(answer: Answer) -> str:
    match answer:
        case Yes():
            return ""
        case No(detail):
            return detail
        case Unasked(detail):
            return f"cannot be asked: {detail}"
    assert_never(answer)


def _never_ran(shown: UnitStatus, facts: Facts | None) -> bool:
    return facts.never_ran if facts else not shown.run
