"""Looks for signs that a unit works or loads: its counters, its output, its CPU time."""

from __future__ import annotations

import asyncio
import re

from supervisor import clock
from supervisor.plan.model import Progress
from supervisor.units import gauges, requester, scanner
from supervisor.units.asker import Subject
from supervisor.units.follower import Follower
from supervisor.units.health import Signs

# Of an engine that hangs in its HTTP too the counters can't be read; its output decides then.
METRICS_S = 5.0


class Observer:
    """Of one run, from the moment it is made."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._progress = subject.probes.progress
        self._noise = re.compile("|".join(f"(?:{one})" for one in self._progress.noise) or "(?!)")
        self._follower = Follower(subject.log_path, subject.log_start)
        self._lines = 0

    async def at_work(self) -> Signs:
        """Signs of a unit that serves."""
        lines = await asyncio.to_thread(self._read)
        return Signs(clock.monotonic(), lines, await self._counters(self._progress))

    async def at_load(self) -> Signs:
        """Signs of a unit that starts."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> Signs:
        tree = [pid for pid, _ in scanner.tree(self._subject.pid)]
        return Signs(clock.monotonic(), self._read(), cpu_s=scanner.cpu_seconds(tree))

    def _read(self) -> int:
        try:
            lines = self._follower.lines()
        except OSError:  # a file system that has a bad moment
            lines = []
        self._lines += sum(1 for line in lines if not self._noise.search(line))
        return self._lines

    async def _counters(self, progress: Progress) -> float | None:
        if progress.port is None:
            return None
        port = self._subject.ports[progress.port]
        try:
            async with asyncio.timeout(METRICS_S):
                reply = await requester.get(
                    self._subject.address, port, progress.path, most=requester.MOST_BODY
                )
        except (OSError, ValueError):  # also when there is no answer in time
            return None
        text = reply.body.decode(errors="replace")
        told = [name for name in progress.counters if name in text]
        return sum(gauges.total(name, text) for name in told) if told else None
