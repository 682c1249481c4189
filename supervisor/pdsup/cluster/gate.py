"""The gates of this node's units: tries the ports that a gate depends on, and keeps the results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from pdsup import clock
from pdsup.cluster import gate_rules
from pdsup.cluster.gate_rules import UnitPort
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from pdsup.cluster.report import UnitReport
from pdsup.node.assignment import Assignment
from pdsup.plan.model import Plan
from pdsup.units.probes.http import cause, connect
from pdsup.units.public_state import PublicState


class Gates:
    """The gates of one node. ``on_change`` is called when the result for a port changes."""

    def __init__(
        self,
        assignment: Assignment,
        own: OwnReport,
        peers: Peers,
        tasks: asyncio.TaskGroup,
        on_change: Callable[[], None],
    ) -> None:
        self._plan = assignment.plan
        self._own = own
        self._peers = peers
        self._connects = Connects(assignment.plan, tasks, on_change)

    def look(self, unit: str) -> UnitReport | None:
        """The latest report of any unit of the plan; None while its node gives no valid report."""
        node = self._plan.by_name[unit].node
        if unit in self._own.units:
            return self._own.units[unit]
        peer = self._peers.peers.get(node)
        report = peer.usable if peer else None
        return report.unit(unit) if report else None

    def has_asked(self, unit: str) -> bool:
        """Whether the unit is on this node, or its node has answered or failed to at least once."""
        peer = self._peers.peers.get(self._plan.by_name[unit].node)
        return unit in self._own.units or (peer is not None and peer.asked)

    def decide(self, unit: str, *, first: bool) -> gate_rules.Decision:
        """The gate of any unit of the plan, as far as this node knows."""
        return gate_rules.decide(self._plan, unit, self.look, self._connects.connects, first=first)

    @property
    def tried(self) -> Mapping[UnitPort, float]:
        """When each port was tried last, in monotonic seconds."""
        return self._connects.tried

    def reason(self, unit: str, *, first: bool) -> str | None:
        """What the unit waits for, or None when its gate is open."""
        return self.decide(unit, first=first).reason

    def inquire(self, waiting: Iterable[tuple[str, bool]]) -> None:
        """Tries the ports that gates of waiting units still need.

        ``waiting`` gives each unit's name and whether this is its first start.
        """
        for unit, first in waiting:
            self._connects.ask(self.decide(unit, first=first).ask)

    def forget(self, units: Iterable[str]) -> None:
        """Forgets the results for ports of those units that are not RUNNING."""
        for unit in units:
            report = self.look(unit)
            if report is None or report.state is not PublicState.RUNNING:
                self._connects.forget(unit)

    async def close(self) -> None:
        """Cancels the attempts under way."""
        await self._connects.close()


TIMEOUT_S = 2.0
# There is no event for a port that opens, so a failed connect is retried.
RETRY_S = 1.0


class Connects:
    """Remembers for each port whether a TCP connect worked; ``on_change`` reports a new result."""

    def __init__(self, plan: Plan, tasks: asyncio.TaskGroup, on_change: Callable[[], None]) -> None:
        self._plan = plan
        self._group = tasks
        self._on_change = on_change
        self._tasks: dict[UnitPort, asyncio.Task[None]] = {}
        self.connects: dict[UnitPort, str | None] = {}
        self.tried: dict[UnitPort, float] = {}

    def ask(self, ports: Iterable[UnitPort]) -> None:
        """Starts trying ports that are new here, each until it can be reached."""
        for port in ports:
            if port not in self._tasks:
                self._tasks[port] = self._group.create_task(self._try(port))

    def forget(self, unit: str) -> None:
        """Forgets the results for the ports of one unit, and stops trying them."""
        for port in [port for port in self._tasks if port[0] == unit]:
            self._tasks.pop(port).cancel()
            self.connects.pop(port, None)
            self.tried.pop(port, None)

    async def close(self) -> None:
        """Cancels the attempts under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _try(self, port: UnitPort) -> None:
        while (failure := await self._connect(port)) is not None:
            self._learn(port, failure)
            await asyncio.sleep(RETRY_S)
        self._learn(port, None)

    def _learn(self, port: UnitPort, failure: str | None) -> None:
        self.tried[port] = clock.monotonic()
        if port not in self.connects or self.connects[port] != failure:
            self.connects[port] = failure
            self._on_change()

    async def _connect(self, port: UnitPort) -> str | None:
        unit = self._plan.by_name[port[0]]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await connect(self._plan.address[unit.node], unit.ports[port[1]])
        except (OSError, ValueError, OverflowError) as error:  # an impossible host name or port
            return cause(error)
        return None
