"""Reads the signs that a unit makes progress: its counters, output, CPU time and GPU memory.

No single sign will do: an engine may print nothing for minutes while it loads weights, yet use CPU
time or fill its GPUs. These are only readings: ``health`` decides what counts as progress.
"""

from __future__ import annotations

import asyncio
import contextlib

from pdsup import clock
from pdsup.plan.model import Progress
from pdsup.threads import Turns
from pdsup.units.logs import split
from pdsup.units.logs.read import Follower
from pdsup.units.probes import gauges, http
from pdsup.units.probes.check import Subject
from pdsup.units.probes.health import Signs
from pdsup.units.process import proc
from pdsup.units.process.nvml import GpuReadings

# If the engine's HTTP server hangs too, its counters cannot be read: then its output decides.
METRICS_S = 5.0
# A file system that hangs shows no progress, and must not hold up the verdict either.
READ_S = 5.0
# Units that start together share one reading of the GPUs.
HOLDERS_KEPT_S = 1.0


class ProgressSigns:
    """Reads the signs of one run."""

    def __init__(self, subject: Subject, gpus: GpuReadings) -> None:
        self._subject = subject
        self._gpus = gpus
        self._progress = subject.probes.progress
        self._noise = split.noise(self._progress.noise)
        self._follower: Follower | None = None
        self._lines = 0
        self._cpu_s = 0.0
        self._log, self._proc = Turns(), Turns()
        self._gpu_bytes: int | None = None

    async def at_work(self) -> Signs:
        """Reads the signs of a unit that serves."""
        lines = await self._count_lines()
        return Signs(clock.monotonic(), lines, await self._counters(self._progress))

    async def at_load(self) -> Signs:
        """Reads the signs of a unit that loads."""
        lines = await self._count_lines()
        tree = await self._look_at_tree()
        memory = await self._most_memory(tree)
        return Signs(clock.monotonic(), lines, cpu_s=self._cpu_s, gpu_bytes=memory)

    async def _look_at_tree(self) -> frozenset[int]:
        def look() -> tuple[frozenset[int], float]:
            tree = frozenset(pid for pid, _ in proc.tree(self._subject.pid))
            return tree, proc.cpu_seconds(tree)

        with contextlib.suppress(TimeoutError):
            tree, self._cpu_s = await self._proc.run(look, READ_S)
            return tree
        return frozenset()

    async def _most_memory(self, tree: frozenset[int]) -> int | None:
        """The most GPU memory so far, so that a process that the driver omits for a moment does not
        look like growth when it is listed again.
        """
        gpus = self._subject.gpus
        holders = await self._gpus.holders(kept_s=HOLDERS_KEPT_S) if gpus else None
        if holders is not None:
            now = sum(each.memory for each in holders if each.gpu in gpus and each.pid in tree)
            self._gpu_bytes = max(now, self._gpu_bytes or 0)
        return self._gpu_bytes

    async def _count_lines(self) -> int:
        with contextlib.suppress(OSError):  # a shared file system may fail or hang for a while
            await self._log.run(self._read, READ_S)
        return self._lines

    def _read(self) -> None:
        if self._follower is None:
            self._follower = Follower(self._subject.log_path, self._subject.log_start)
        lines = self._follower.lines()
        self._lines += sum(1 for line in lines if not self._noise.search(line))

    async def _counters(self, progress: Progress) -> float | None:
        if progress.port is None:
            return None
        port = self._subject.ports[progress.port]
        try:
            async with asyncio.timeout(METRICS_S):
                reply = await http.get(
                    self._subject.address, port, progress.path, most=http.MOST_BODY
                )
        except (OSError, ValueError):  # TimeoutError is an OSError
            return None
        text = reply.body.decode(errors="replace")
        known = [name for name in progress.counters if name in text]
        return sum(gauges.total(name, text) for name in known) if known else None
