"""Gates of this node's units: tries the network paths that a gate asks about, keeps the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from pdsup.cluster import gate_rules
from pdsup.cluster.gate_rules import Path
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from pdsup.cluster.report import NOT_ASKED, UnitReport
from pdsup.node.assignment import Assignment
from pdsup.plan.model import Plan
from pdsup.units.probes.http import cause, connect


class Gates:
    """The gates of one node. ``on_change`` is called when an answer arrives."""

    def __init__(
        self,
        assignment: Assignment,
        publisher: OwnReport,
        poller: Peers,
        tasks: asyncio.TaskGroup,
        on_change: Callable[[], None],
    ) -> None:
        self._plan = assignment.plan
        self._publisher = publisher
        self._poller = poller
        self._connector = Connects(assignment.plan, tasks, on_change)

    @property
    def connects(self) -> Mapping[gate_rules.Path, str | None]:
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

    def _decide(self, unit: str, *, first: bool) -> gate_rules.Verdict:
        return gate_rules.decide(self._plan, unit, self.look, self._connector.connects, first=first)


TIMEOUT_S = 2.0
# Nothing tells when a closed port opens, so a path that failed is tried again.
RETRY_S = 1.0


class Connects:
    """Remembers for each path whether a TCP connect worked; ``on_change`` when one is known."""

    def __init__(self, plan: Plan, tasks: asyncio.TaskGroup, on_change: Callable[[], None]) -> None:
        self._plan = plan
        self._group = tasks
        self._on_change = on_change
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self.connects: dict[Path, str | None] = {}

    def ask(self, paths: Iterable[Path]) -> None:
        """Tries paths that were not asked yet, again and again until they work."""
        for path in paths:
            if path not in self._tasks:
                self._tasks[path] = self._group.create_task(self._try(path))

    def forget(self, unit: str) -> None:
        """What was known of a unit that is not RUNNING any more means nothing."""
        for path in [path for path in self._tasks if path[0] == unit]:
            self._tasks.pop(path).cancel()
            self.connects.pop(path, None)

    async def close(self) -> None:
        """Gives up whatever is being tried."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _try(self, path: Path) -> None:
        while (failure := await self._connect(path)) is not None:
            self._learn(path, failure)
            await asyncio.sleep(RETRY_S)
        self._learn(path, None)

    def _learn(self, path: Path, failure: str | None) -> None:
        if path not in self.connects or self.connects[path] != failure:
            self.connects[path] = failure
            self._on_change()

    async def _connect(self, path: Path) -> str | None:
        unit = self._plan.by_name[path[0]]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await connect(self._plan.address[unit.node], unit.ports[path[1]])
        except (OSError, UnicodeError) as error:  # the latter: what can't be a host's name
            return cause(error)
        return None
