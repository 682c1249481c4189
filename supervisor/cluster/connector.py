"""Tries the network paths from this node to the ports that a gate asks about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from supervisor.cluster.gate import Path
from supervisor.plan.model import Plan
from supervisor.units.requester import cause, connect

TIMEOUT_S = 2.0
# Nothing tells when a closed port opens, so a path that failed is tried again.
RETRY_S = 1.0


class Connector:
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
