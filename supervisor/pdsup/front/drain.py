"""Takes routers of this node out of nginx before a planned stop, and waits for their last requests.

nginx may be on another node. Its agent reads in our report that a router is about to stop, and we
read in its report which routers nginx passes requests to; the two exchange nothing else. A stop
must not cut off requests, so a drain waits until nginx's list no longer has the router, and then
until the router has no requests left. It must not block a stop for ever either: an agent that can't
be reached is given ``UNKNOWN_S``, and the caller limits the whole drain (``within``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pdsup import clock
from pdsup.cluster.peers import HOLD_S
from pdsup.cluster.report import Look
from pdsup.front import drain_rules
from pdsup.front.drain_rules import Use
from pdsup.node.assignment import AssignedUnit, Assignment
from pdsup.units.probes import gauges, http

# An agent that can't reach us either takes this node for lost after ``HOLD_S`` and reloads nginx.
UNKNOWN_S = HOLD_S + 2.0
# Slurm's KillWait limits the end of a node, and the router's own grace period follows the drain.
END_S = 2.0
LOOK_S = 0.02  # how often to check the reports; nginx is reloaded within tenths of a second
# There is no event when a request ends, so the router is polled; each poll costs it a millisecond.
COUNT_S = 0.2
ANSWER_S = 2.0
# A router's requests in flight: those without a response yet, and streams by worker.
IN_FLIGHT = ("smg_http_connections_active", "smg_worker_requests_active")
MOST_METRICS = 1 << 20


class Drains:
    """The routers of one node that have an nginx in front of them."""

    def __init__(
        self, assignment: Assignment, look: Look, is_node_ending: Callable[[], bool]
    ) -> None:
        """While ``is_node_ending()``, a drain takes at most ``END_S``."""
        self._look = look
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

    async def drain(self, unit: str) -> None:
        """Returns when nginx no longer passes requests to a unit, and its last ones are done.

        That may never happen, so the caller sets a time limit.
        """
        if unit not in self.routers:
            return
        began = clock.monotonic()
        while (use := self._use(unit)) is not Use.NONE:
            if use is Use.UNKNOWN and clock.monotonic() - began >= UNKNOWN_S:
                break
            await asyncio.sleep(LOOK_S)
        left = await _in_flight(self.routers[unit])
        while left > 0:
            await asyncio.sleep(COUNT_S)
            left = await _in_flight(self.routers[unit])

    def _use(self, unit: str) -> Use:
        return drain_rules.use(unit, self._fronts[unit], self._look)


async def _in_flight(router: AssignedUnit) -> float:
    """The number of requests that a router is serving; 0 also if it does not say."""
    port = router.plan.ports.get("prometheus")
    if port is None:
        return 0
    try:
        async with asyncio.timeout(ANSWER_S):
            reply = await http.get(router.local_address, port, "/metrics", most=MOST_METRICS)
    except (OSError, UnicodeError, ValueError):
        return 0
    text = reply.body.decode(errors="replace")
    return sum(gauges.total(name, text) for name in IN_FLIGHT)
