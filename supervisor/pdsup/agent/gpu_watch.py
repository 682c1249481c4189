"""Checks the GPUs of this node's units every 10 s, and reports what changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from pdsup import clock
from pdsup.agent import gpu_events
from pdsup.journal.entry import Happening
from pdsup.units.ledger import LedgerFile
from pdsup.units.process.gpu import Trouble
from pdsup.units.process.nvml import GpuReadings
from pdsup.units.runner import Runner

LOOK_S = 10.0


class GpuWatch:
    """The GPUs of one node.

    ``ledger`` keeps the trouble last reported for each unit, so that a new agent can report its
    end. ``inherited``: what an earlier agent reported.
    """

    def __init__(
        self,
        runners: Mapping[str, Runner],
        readings: GpuReadings,
        ledger: LedgerFile,
        tell: Callable[[Happening], None],
        inherited: Mapping[str, Trouble],
    ) -> None:
        self._users = {name: runner for name, runner in runners.items() if runner.unit.plan.gpus}
        self._readings = readings
        self._ledger = ledger
        self._tell = tell
        self._troubles = {name: one for name, one in inherited.items() if name in self._users}
        self._seen = gpu_events.restored(self._troubles.values())

    async def run(self) -> None:
        """Runs until cancelled; returns at once if no unit has GPUs, or NVML finds none."""
        wanted = sorted({index for one in self._users.values() for index in one.unit.plan.gpus})
        while wanted:
            found = await self._readings.read()
            if found is not None:
                if not (found or self._seen):
                    return
                self._seen = gpu_events.look(self._seen, found, wanted)
                self._compare()
            await asyncio.sleep(LOOK_S)

    def _compare(self) -> None:
        before, news = dict(self._troubles), []
        for name, runner in self._users.items():
            now = gpu_events.trouble(self._seen, runner.unit.plan.gpus)
            for event, reason, gpus in gpu_events.events(before.get(name, Trouble()), now):
                happening = Happening(
                    clock.monotonic(), name, runner.facts.run, event, reason, {"gpus": list(gpus)}
                )
                news.append(happening)
                self._troubles[name] = now
        # First the ledger: whoever reads the journal may kill this agent, and the next one must
        # know what was reported.
        if self._troubles != before:
            self._ledger.note_gpus(self._troubles)
        for happening in news:
            self._tell(happening)
