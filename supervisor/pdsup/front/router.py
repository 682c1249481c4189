"""Tells a router of this node at once when a worker is gone, and when it is back.

Left alone, a router avoids a returned worker for up to a minute, and hangs on a silent one; what it
needs to hear is decided in ``router_rules.py``. Reports may be late, the router may restart in
between, and it answers an API call before it has acted on it. So each round reads the router's own
list and asks only for the difference, and repeats until nothing is missing. A worker must never be
dropped only because its agent fails to answer, so a TCP connect from here has to fail as well; and
the last worker of a role stays listed.

Whoever reaches the router's port can change its list, and nothing tells of that: it is compared
with the plan every ``COMPARE_S`` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp

from pdsup.address import url
from pdsup.cluster.peers import SILENCE
from pdsup.cluster.report import Look, UnitReport
from pdsup.front import router_rules
from pdsup.front.router_rules import Target
from pdsup.node.assignment import AssignedUnit
from pdsup.plan.model import Plan
from pdsup.units.probes.http import MOST_ANSWER, cause, connect, read_at_most
from pdsup.units.public_state import PublicState

TIMEOUT_S = 5.0
# The router answers before it has acted, so its list is read again until it has.
CHECK_S = 0.2
COMPARE_S = 15.0
# A connect within a cluster takes a millisecond, so a path that takes this long is dead.
SILENT_S = 0.5
RETRY_LIMIT_S = 5.0
LIMIT = aiohttp.ClientTimeout(total=TIMEOUT_S)
# A connection that stays open would look like a request in flight to a drain.
CLOSE = {"Connection": "close"}

# One period of a worker in RUNNING: its run, and since when.
Stay = tuple[int, float]


class Log(Protocol):
    """The methods of a logger used here."""

    def info(self, event: str, **facts: object) -> None:
        """Logs something that a user may want to know."""

    def warning(self, event: str, **facts: object) -> None:
        """Logs something that a user should know."""


class RouterRepair:
    """Keeps one router's list of workers in line with what the workers' agents report."""

    def __init__(
        self,
        plan: Plan,
        router: AssignedUnit,
        look: Look,
        has_asked: Callable[[str], bool],
        session: aiohttp.ClientSession,
        log: Log,
    ) -> None:
        self._router = router
        self._look = look
        self._has_asked = has_asked
        self._session = session
        self._log = log
        self._targets = router_rules.targets(plan, router.name)
        self._where = {
            target.unit: (plan.address[unit.node], unit.ports["http"])
            for target in self._targets
            for unit in (plan.by_name[target.unit],)
        }
        self._known_urls = router_rules.known_urls(self._targets, router.plan.command)
        self._run: int | None = None
        self._stays: dict[str, Stay] = {}
        self._returned: set[str] = set()
        self._gone: set[str] = set()
        self._lost: set[str] = set()
        self._trouble = ""
        self._due = asyncio.Event()

    def react(self) -> None:
        """Takes in the reports of the router and its workers; wakes ``run`` if one came or left."""
        router = self._look(self._router.name)
        # Without a worker of each role a router is UNHEALTHY, which is when it needs help most.
        if router is None or not router.state.is_serving:
            self._run = None
            return
        stays = {
            target.unit: (report.run, report.since)
            for target in self._targets
            if (report := self._look(target.unit)) and report.state is PublicState.RUNNING
        }
        came = {unit for unit, stay in stays.items() if self._stays.get(unit) != stay}
        if router.run == self._run:
            self._returned |= came
        else:  # a new run of the router has just looked at the workers itself
            self._run, self._returned, came = router.run, set(), set(stays)
            self._gone = set()
        # A new agent has not heard of every node yet: that is no reason to drop its workers.
        heard = [t.unit for t in self._targets if self._has_asked(t.unit)]
        gone = {unit for unit in heard if _is_gone(self._look(unit))}
        lost, self._gone = gone - self._gone, gone
        self._lost = (self._lost | lost) & gone
        self._returned &= stays.keys()
        self._stays = stays
        if came or lost:
            self._due.set()

    async def run(self) -> None:
        """Repairs the router's list whenever a worker came or left, and every ``COMPARE_S``
        seconds; runs until cancelled.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COMPARE_S):
                    await self._due.wait()
            self._due.clear()
            pause = CHECK_S
            while self._run is not None and not await self._repaired():
                await asyncio.sleep(pause)
                pause = min(RETRY_LIMIT_S, pause * 1.5)

    async def _repaired(self) -> bool:
        """Makes one attempt at a repair; True when nothing is left to do."""
        returned, self._returned = self._returned, set()
        lost, self._lost = self._lost, set()
        try:
            return await self._repair(frozenset(returned), frozenset(lost))
        except Exception as error:  # whatever a router answers must not end this agent
            self._returned |= returned & self._stays.keys()
            self._lost |= lost & self._gone
            if (why := cause(error)) != self._trouble:
                self._trouble = why
                self._log.warning("router not told yet", unit=self._router.name, cause=why)
            return False

    async def _repair(self, returned: frozenset[str], lost: frozenset[str]) -> bool:
        listed = router_rules.listing(await self._ask("GET", "/workers"))
        if listed is None:
            return True  # not a router we know how to talk to: it finds out by itself
        broken = await self._broken() if returned else frozenset()
        running = [target for target in self._targets if target.unit in self._stays]
        gone = [t for t in self._targets if t.unit in lost and await self._is_out_of_reach(t)]
        mending = router_rules.mend(running, returned, listed, broken, gone, self._known_urls)
        if strange := router_rules.strangers(listed, self._known_urls):
            self._log.warning("router lists strangers", unit=self._router.name, dropped=strange)
        for target in mending.add:
            await self._ask("POST", "/workers", target.addition())
        for worker in mending.close:
            await self._ask("PUT", f"/workers/{worker}", {"priority": 50})
        for worker in mending.drop:
            await self._ask("DELETE", f"/workers/{worker}")
        self._trouble = ""
        if returned or gone:
            names = sorted(target.unit for target in gone)
            self._log.info("router told", unit=self._router.name, back=sorted(returned), gone=names)
        return not mending.add

    async def _is_out_of_reach(self, target: Target) -> bool:
        """Whether its agent reports the worker down, or a connect from here gets no answer.

        If only its agent does not answer, the worker may still serve.
        """
        if self._look(target.unit) is not None:
            return True
        address, port = self._where[target.unit]
        try:
            async with asyncio.timeout(SILENT_S):
                await connect(address, port)
        except OSError as error:
            return isinstance(error, TimeoutError) or error.errno in SILENCE
        return False

    async def _broken(self) -> frozenset[str] | None:
        port = self._ports.get("prometheus")
        if port is None:
            return None
        try:
            async with self._session.get(self._url(port, "/metrics"), timeout=LIMIT) as answer:
                if not answer.ok:
                    return None
                body = await read_at_most(answer.content, MOST_ANSWER)
                return router_rules.open_breakers(body.decode(errors="replace"))
        except (OSError, aiohttp.ClientError, ValueError):
            return None

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        where = self._url(self._ports["http"], path)
        async with self._session.request(
            method, where, json=body, timeout=LIMIT, headers=CLOSE
        ) as answer:
            if not answer.ok:
                raise ValueError(f"HTTP {answer.status} to {method} {path}")
            try:
                return json.loads(
                    (await read_at_most(answer.content, MOST_ANSWER)).strip() or b"null"
                )
            except RecursionError:
                raise ValueError("the reply is not JSON") from None

    @property
    def _ports(self) -> Mapping[str, int]:
        """Those of its run, which after a change of the plan may not be the planned ones."""
        report = self._look(self._router.name)
        return report.ports if report else self._router.plan.ports

    def _url(self, port: int, path: str) -> str:
        return url(self._router.local_address, port, path)


def _is_gone(report: UnitReport | None) -> bool:
    """Whether no request should go to a worker. An UNHEALTHY one may just be busy, unless it is
    halted.
    """
    return report is None or not report.state.is_serving or report.halted is True
