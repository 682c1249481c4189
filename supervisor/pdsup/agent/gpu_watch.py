"""Looks now and then at the GPUs of this node's units, and reports what changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from pdsup import clock
from pdsup.agent import gpu_events
from pdsup.journal.entry import Happening
from pdsup.units.ledger import LedgerFile
from pdsup.units.process.gpu import Trouble
from pdsup.units.process.gpus import GpuReadings
from pdsup.units.runner import Runner

LOOK_S = 10.0


class GpuWatch:
    """The GPUs of one node. ``ledger`` keeps what was told last of each unit: the agent that takes
    over tells when it is over. ``inherited``: what an earlier agent told.
    """

    def __init__(
        self,
        runners: Mapping[str, Runner],
        readings: GpuReadings,
        ledger: LedgerFile,
        tell: Callable[[Happening], None],
        inherited: Mapping[str, Trouble],
    ) -> None:
        self._users = {name: one for name, one in runners.items() if one.unit.plan.gpus}
        self._readings = readings
        self._ledger = ledger
        self._tell = tell
        self._troubles = {name: one for name, one in inherited.items() if name in self._users}
        self._seen = gpu_events.restored(self._troubles.values())

    async def run(self) -> None:
        """Until cancelled; returns at once where no unit has GPUs, or NVML finds none."""
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
        before = dict(self._troubles)
        for name, runner in self._users.items():
            now = gpu_events.trouble(self._seen, runner.unit.plan.gpus)
            for event, reason, gpus in gpu_events.events(before.get(name, Trouble()), now):
                happening = Happening(
                    clock.monotonic(), name, runner.facts.run, event, reason, {"gpus": list(gpus)}
                )
                self._tell(happening)
                self._troubles[name] = now
        if self._troubles != before:
            self._ledger.note_gpus(self._troubles)
