"""Collects what a node's metrics show."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from pdsup import clock
from pdsup.agent.agent import Agent
from pdsup.api import metrics
from pdsup.api.metrics import Scrape, text
from pdsup.threads import Turns
from pdsup.units.process import proc
from pdsup.units.process.tree import Usage

# Prometheus waits for 10 s by default.
READ_S = 3.0

T = TypeVar("T")


class Scrapes:
    """The metrics of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._files, self._processes = Turns(), Turns()

    async def scrape(self) -> str:
        """The metrics as of now, in Prometheus's text format.

        Processes and files are read in threads: there may be many. What hangs is left out.
        """
        agent, gpus = self._agent, await self._agent.read_gpus()
        report = agent.report()
        names = [unit.name for unit in report.units]
        roots = {unit.name: unit.pid for unit in report.units if unit.pid is not None}
        logs = {unit.name: unit.log_path for unit in agent.assignment.units}
        usage = await _within(self._processes, lambda: _usage(roots)) or {}
        log_bytes = await _within(self._files, lambda: _sizes(logs)) or {}
        seen = Scrape(
            report=report,
            wall=clock.wall() - (clock.monotonic() - report.at),
            counts=agent.counts(),
            usage=usage,
            log_bytes=log_bytes,
            probes={name: agent.probed(name) for name in names},
            fronts=agent.reloads(),
            gpus=gpus,
            reachable={peer.node: peer.usable is not None for peer in agent.peers()},
        )
        return text(metrics.families(seen))


async def _within(turns: Turns, look: Callable[[], T]) -> T | None:
    with contextlib.suppress(TimeoutError):
        return await turns.run(look, READ_S)
    return None


def _usage(roots: Mapping[str, int]) -> dict[str, Usage]:
    own = proc.usage_of(os.getpid())
    return proc.usage(roots) | ({metrics.AGENT: own} if own else {})


def _sizes(logs: Mapping[str, str]) -> dict[str, int]:
    return {name: size for name, path in logs.items() if (size := _size(path)) is not None}


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (the path is a str)
    except OSError:  # the unit has not run yet
        return None
