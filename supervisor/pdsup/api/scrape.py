"""Collects what a node's metrics show."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from pdsup import clock
from pdsup.agent.agent import Agent
from pdsup.api import metrics
from pdsup.api.metrics import Scrape, text
from pdsup.units.process import proc
from pdsup.units.process.tree import Usage


class Scrapes:
    """The metrics of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def scrape(self) -> str:
        """The metrics as of now, in Prometheus's text format.

        Processes and files are read in a thread: there may be many, and file systems may be slow.
        """
        agent, gpus = self._agent, await self._agent.read_gpus()
        report = agent.report()
        names = [unit.name for unit in report.units]
        roots = {unit.name: unit.pid for unit in report.units if unit.pid is not None}
        logs = {unit.name: unit.log_path for unit in agent.assignment.units}
        usage, log_bytes = await asyncio.to_thread(_look, roots, logs)
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


def _look(
    roots: Mapping[str, int], logs: Mapping[str, str]
) -> tuple[dict[str, Usage], dict[str, int]]:
    used = proc.usage(roots)
    own = proc.usage_of(os.getpid())
    sizes = {name: size for name, path in logs.items() if (size := _size(path)) is not None}
    return used | ({metrics.AGENT: own} if own else {}), sizes


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (the path is a str)
    except OSError:  # the unit has not run yet
        return None
