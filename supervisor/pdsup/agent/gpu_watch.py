"""Looks now and then at the GPUs of this node's units, and tells what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from pdsup import clock
from pdsup.agent import gpu_events
from pdsup.agent.gpu_events import Trouble
from pdsup.files import write_atomically
from pdsup.journal.entry import Happening
from pdsup.units.process.gpus import GpuReadings
from pdsup.units.runner import Runner

LOOK_S = 10.0
# What was told last of each unit: the agent that takes over tells when it is over.
NOTES = "gpus.json"


class GpuWatch:
    """Of one node. ``state_dir`` keeps the notes; ``inherited``: an earlier agent's are there."""

    def __init__(
        self,
        runners: Mapping[str, Runner],
        meter: GpuReadings,
        state_dir: str,
        tell: Callable[[Happening], None],
        *,
        inherited: bool,
    ) -> None:
        self._users = {name: one for name, one in runners.items() if one.unit.plan.gpus}
        self._meter = meter
        self._path = Path(state_dir, NOTES)
        self._tell = tell
        self._troubles = self._read() if inherited else {}
        self._seen = gpu_events.restored(self._troubles.values())

    async def run(self) -> None:
        """Until cancelled; returns at once where no unit has GPUs, or NVML finds none."""
        wanted = sorted({index for one in self._users.values() for index in one.unit.plan.gpus})
        while wanted:
            found = await self._meter.read()
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
            self._note()

    def _note(self) -> None:
        values = {name: dataclasses.asdict(one) for name, one in self._troubles.items()}
        with contextlib.suppress(OSError):  # then nobody tells when it is over
            write_atomically(self._path, json.dumps(values).encode(), 0o600)

    def _read(self) -> dict[str, Trouble]:
        try:
            values = json.loads(self._path.read_text())
            return {
                name: Trouble(tuple(one["throttled"]), tuple(one["lost"]))
                for name, one in values.items()
                if name in self._users
            }
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}
