"""Looks at everything on a node that its metrics tell."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Mapping

from supervisor import clock
from supervisor.agent.main import Agent
from supervisor.api import exposition, metrics
from supervisor.api.metrics import Scrape
from supervisor.units import gpumeter, scanner
from supervisor.units.gpus import Gpu
from supervisor.units.tree import Usage

# A driver that hangs is asked again when it has answered.
GPUS_S = 2.0


class Scraper:
    """Of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._asking: asyncio.Future[tuple[Gpu, ...]] | None = None

    async def scrape(self) -> str:
        """The metrics of this moment, in the text format.

        Files and processes are looked at in a thread: they may be many, or far away.
        """
        agent, gpus = self._agent, await self._gpus()
        report = agent.publisher.report()
        names = [unit.name for unit in report.units]
        roots = {unit.name: unit.pid for unit in report.units if unit.pid is not None}
        logs = {unit.name: unit.log_path for unit in agent.assignment.units}
        usage, log_bytes = await asyncio.to_thread(_look, roots, logs)
        seen = Scrape(
            report=report,
            wall=clock.wall() - (clock.monotonic() - report.at),
            counts=agent.counter.counts(),
            usage=usage,
            log_bytes=log_bytes,
            probes={name: agent.probed(name) for name in names},
            fronts=agent.fronts(),
            gpus=gpus,
            reachable={node: peer.usable is not None for node, peer in agent.poller.peers.items()},
        )
        return exposition.text(metrics.families(seen))

    async def _gpus(self) -> tuple[Gpu, ...]:
        """None while the driver does not answer. One thread at most waits for it, and it holds up
        no end: not one of the pool, for which an agent that ends would wait.
        """
        if self._asking is None or self._asking.done():
            loop = asyncio.get_running_loop()
            self._asking = asking = loop.create_future()
            threading.Thread(target=_ask, args=(loop, asking), daemon=True).start()
        done, _ = await asyncio.wait([self._asking], timeout=GPUS_S)
        return self._asking.result() if done else ()


def _ask(loop: asyncio.AbstractEventLoop, asking: asyncio.Future[tuple[Gpu, ...]]) -> None:
    found = gpumeter.gpus()
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(asking.set_result, found)


def _look(
    roots: Mapping[str, int], logs: Mapping[str, str]
) -> tuple[dict[str, Usage], dict[str, int]]:
    used = scanner.usage(roots)
    own = scanner.usage_of(os.getpid())
    sizes = {name: size for name, path in logs.items() if (size := _size(path)) is not None}
    return used | ({metrics.AGENT: own} if own else {}), sizes


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (of a path that is text)
    except OSError:  # it has not run yet
        return None
