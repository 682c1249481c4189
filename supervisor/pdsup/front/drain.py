"""Takes routers of this node out of nginx before a planned stop, and waits for their last requests.

nginx may be on another node. Its agent learns from our report that a router is to stop, and we
learn from its report which routers nginx passes requests to; nothing else goes between the two.
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

# An agent that can't reach us either takes us for gone after ``HOLD_S``, and reloads its nginx.
UNKNOWN_S = HOLD_S + 2.0
# The end of a node is bounded by Slurm's KillWait; the router's own grace period comes after it.
END_S = 2.0
LOOK_S = 0.02  # at what is known here; it changes within some tenths of a second
# The end of a request is no event here. Each question costs the router a millisecond.
COUNT_S = 0.2
ANSWER_S = 2.0
# The work of a router: requests whose answer has not begun, and streams by worker.
IN_FLIGHT = ("smg_http_connections_active", "smg_worker_requests_active")
MOST_METRICS = 1 << 20


class Drains:
    """The routers of one node that have an nginx in front of them."""

    def __init__(
        self, assignment: Assignment, look: Look, is_node_ending: Callable[[], bool]
    ) -> None:
        """``is_node_ending``: then a drain takes ``END_S`` at the most."""
        self._look = look
        in_front = drain_rules.in_front(assignment.plan)
        self._fronts = {
            unit.name: in_front[unit.name] for unit in assignment.units if unit.name in in_front
        }
        self.routers = {unit.name: unit for unit in assignment.units if unit.name in self._fronts}
        self._is_node_ending = is_node_ending

    def unlisted(self, unit: str) -> str | None:
        """Why a unit that is ready gets no requests yet, or None."""
        return drain_rules.lacks(unit, self._fronts.get(unit, ()), self._look)

    def within(self, unit: str) -> float:
        """How long its drain may take, in seconds; 0: nothing passes requests to it."""
        if unit not in self.routers or self._use(unit) is Use.NONE:
            return 0.0
        granted = self.routers[unit].plan.stop.drain_timeout_s
        return min(granted, END_S) if self._is_node_ending() else granted

    async def drain(self, unit: str) -> None:
        """Returns when nginx passes no more requests to a unit that is to stop, and those it passed
        are done. That may never be, so the caller sets a limit.
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
    """How many requests a router has in work; 0 also when it does not say."""
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
