"""Takes routers of this node out of nginx before a planned stop, and waits for their last requests.

nginx may be on another node. Its agent reads in our report that a router is about to stop, and we
read in its report which routers nginx passes requests to; the two exchange nothing else. A stop
must not cut off requests, so a drain waits until nginx's list no longer has the router, and then
until the router has no requests left. It must not block a stop for ever either: an agent that can't
be reached is given ``UNKNOWN_S``, what the router counts is compared with its connections
(``drain_rules.py``), and the caller limits the whole drain (``within``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from pdsup import clock
from pdsup.cluster.peers import HOLD_S
from pdsup.cluster.report import Look
from pdsup.front import drain_rules
from pdsup.front.drain_rules import Load, Use
from pdsup.node.assignment import AssignedUnit, Assignment
from pdsup.threads import Turns
from pdsup.units.probes import gauges, http

# An agent that can't reach us either takes this node for lost after ``HOLD_S`` and reloads nginx.
UNKNOWN_S = HOLD_S + 2.0
# Slurm's KillWait limits the end of a node, and the router's own grace period follows the drain.
END_S = 2.0
LOOK_S = 0.02  # how often to check the reports; nginx is reloaded within tenths of a second
# There is no event when a request ends, so the router is polled; each poll costs it a millisecond.
COUNT_S = 0.2
ANSWER_S = 2.0
# How often others hear how many requests are left.
TELL_S = 1.0
# A router's requests in flight: those without a response yet, and those of its workers. A streamed
# one is of the second kind only.
UNANSWERED, SERVED = "smg_http_connections_active", "smg_worker_requests_active"
MOST_METRICS = 1 << 20
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


class Drains:
    """The routers of one node that have an nginx in front of them."""

    def __init__(
        self,
        assignment: Assignment,
        look: Look,
        is_node_ending: Callable[[], bool],
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """While ``is_node_ending()``, a drain takes at most ``END_S``. ``on_change`` is called when
        what a drain waits for changes.
        """
        self._look = look
        self._on_change = on_change
        self._waits_for: dict[str, str] = {}
        self._reads = Turns()
        in_front = drain_rules.in_front(assignment.plan)
        self._fronts = {
            unit.name: in_front[unit.name] for unit in assignment.units if unit.name in in_front
        }
        self.routers = {unit.name: unit for unit in assignment.units if unit.name in self._fronts}
        self._is_node_ending = is_node_ending

    def unlisted(self, unit: str) -> str | None:
        """Why a router that is ready gets no requests yet, or None."""
        return drain_rules.lacks(unit, self._fronts.get(unit, ()), self._look)

    def within(self, unit: str) -> float:
        """The time limit of the unit's drain in seconds; 0 if nothing passes requests to it."""
        if unit not in self.routers or self._use(unit) is Use.NONE:
            return 0.0
        granted = self.routers[unit].plan.stop.drain_timeout_s
        return min(granted, END_S) if self._is_node_ending() else granted

    def waits_for(self, unit: str) -> str | None:
        """What the drain of a unit waits for, or None while there is none."""
        return self._waits_for.get(unit)

    async def drain(self, unit: str) -> None:
        """Returns when nginx no longer passes requests to a unit, and its last ones are done.

        That may never happen, so the caller sets a time limit.
        """
        if unit not in self.routers:
            return
        try:
            await self._out_of_nginx(unit)
            await self._without_requests(unit)
        finally:
            self._waits_for.pop(unit, None)

    async def _out_of_nginx(self, unit: str) -> None:
        began, fronts = clock.monotonic(), ", ".join(self._fronts[unit])
        while (use := self._use(unit)) is not Use.NONE:
            if use is Use.UNKNOWN and clock.monotonic() - began >= UNKNOWN_S:
                return
            known = use is Use.SOME
            self._tell(unit, f"{fronts} {'still lists it' if known else 'cannot be asked'}")
            await asyncio.sleep(LOOK_S)

    async def _without_requests(self, unit: str) -> None:
        load = await self._load(self.routers[unit])
        changed = told = clock.monotonic()
        while not drain_rules.is_over(load, clock.monotonic() - changed):
            if told <= clock.monotonic():
                self._tell(unit, f"{load.left} left")
                told = clock.monotonic() + TELL_S
            await asyncio.sleep(COUNT_S)
            before, load = load, await self._load(self.routers[unit])
            if (load.unanswered, load.served) != (before.unanswered, before.served):
                changed = clock.monotonic()

    def _tell(self, unit: str, what: str) -> None:
        if self._waits_for.get(unit) != what:
            self._waits_for[unit] = what
            self._on_change()

    def _use(self, unit: str) -> Use:
        return drain_rules.use(unit, self._fronts[unit], self._look)

    async def _load(self, router: AssignedUnit) -> Load:
        """What a router has to do; nothing also if it does not say."""
        report = self._look(router.name)
        ports = report.ports if report else router.plan.ports
        unanswered, served = await _counted(router.local_address, ports.get("prometheus"))
        connections = None
        if unanswered or served:
            connections = await self._connections(router, ports["http"])
        return Load(unanswered, served, connections)

    async def _connections(self, router: AssignedUnit, port: int) -> int | None:
        address = router.address if router.bind == "address" else None
        try:
            tables = await self._reads.run(_tables, ANSWER_S)
            return drain_rules.connections(tables, address, port)
        except (OSError, ValueError):  # a TimeoutError too; or the address is a name
            return None


def _tables() -> list[str]:
    return [path.read_text() for path in TABLES if path.exists()]


async def _counted(address: str, port: int | None) -> tuple[float, float]:
    if port is None:
        return 0, 0
    try:
        async with asyncio.timeout(ANSWER_S):
            reply = await http.get(address, port, "/metrics", most=MOST_METRICS)
    except (OSError, UnicodeError, ValueError):
        return 0, 0
    text = reply.body.decode(errors="replace")
    return gauges.total(UNANSWERED, text), gauges.total(SERVED, text)
