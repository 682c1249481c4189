"""Keeps the gates of this node's units: asks about the paths they need, and knows the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from supervisor.agent.publisher import Publisher
from supervisor.assignment.compile import Assignment
from supervisor.cluster import gate
from supervisor.cluster.connector import Connector
from supervisor.cluster.poller import Poller
from supervisor.cluster.report import NOT_ASKED, UnitReport


class Gatekeeper:
    """The gates of one node. ``on_change`` is called when an answer arrives."""

    def __init__(
        self,
        assignment: Assignment,
        publisher: Publisher,
        poller: Poller,
        tasks: asyncio.TaskGroup,
        on_change: Callable[[], None],
    ) -> None:
        self._plan = assignment.plan
        self._publisher = publisher
        self._poller = poller
        self._connector = Connector(assignment.plan, tasks, on_change)

    @property
    def connects(self) -> Mapping[gate.Path, str | None]:
        """Each path that was tried, with None or why no TCP connection came about."""
        return self._connector.connects

    def look(self, unit: str) -> UnitReport | None:
        """The last report of any unit of the plan; None while its node can't be relied on."""
        node = self._plan.by_name[unit].node
        if unit in self._publisher.units:
            return self._publisher.units[unit]
        peer = self._poller.peers.get(node)
        report = peer.usable if peer else None
        return report.unit(unit) if report else None

    def has_asked(self, unit: str) -> bool:
        """Whether the unit's node is this one, or has been asked, whatever came of it."""
        peer = self._poller.peers.get(self._plan.by_name[unit].node)
        return unit in self._publisher.units or (peer is not None and peer.problem != NOT_ASKED)

    def reason(self, unit: str, *, first: bool) -> str | None:
        """What the unit waits for, or None when its gate is open."""
        return self._decide(unit, first=first).reason

    def inquire(self, waiting: Iterable[tuple[str, bool]]) -> None:
        """Tries the paths that the gates of waiting units (name, first start?) still miss."""
        for unit, first in waiting:
            self._connector.ask(self._decide(unit, first=first).ask)

    def forget(self, units: Iterable[str]) -> None:
        """Drops what is known of the paths to units that are not RUNNING."""
        for unit in units:
            report = self.look(unit)
            if report is None or report.state != "RUNNING":
                self._connector.forget(unit)

    async def close(self) -> None:
        """Gives up what is being tried."""
        await self._connector.close()

    def _decide(self, unit: str, *, first: bool) -> gate.Verdict:
        return gate.decide(self._plan, unit, self.look, self._connector.connects, first=first)
