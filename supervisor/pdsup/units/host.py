"""What a unit relies on: the parts that all units of a node share, and the agent around them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from pdsup.units.cause import CauseSearch
from pdsup.units.facts import Transition
from pdsup.units.ledger import LedgerFile
from pdsup.units.process.gpus import GpuReadings
from pdsup.units.process.guardian_link import GuardianLink
from pdsup.units.process.reap import Reaper
from pdsup.units.process.spawn import Spawner


@dataclass(frozen=True, slots=True)
class Host:
    """What all units of a node share. ``cluster``: the name of the cluster's run."""

    spawner: Spawner
    reaper: Reaper
    gpus: GpuReadings
    causes: CauseSearch
    ledger: LedgerFile
    guardian: GuardianLink
    tasks: asyncio.TaskGroup
    cluster: str


class UnitHost(Protocol):
    """What a runner asks of and tells to the agent around it."""

    def gate(self, unit: str, *, first: bool) -> str | None:
        """What the unit waits for before a start, or None."""

    def epoch(self, unit: str) -> int | None:
        """The epoch of its gang in which the unit may start now; None for a unit of no gang."""

    def before_spawn(self, unit: str) -> None:
        """Last preparations for a start; raises SupervisorError or OSError to refuse it."""

    def drain_within(self, unit: str) -> float:
        """How long it may take to get the unit out of use, in seconds; 0: it need not be."""

    async def drain(self, unit: str) -> None:
        """Returns when the unit, which is to end, has no more work and gets none."""

    def changed(self, unit: str, transition: Transition | None) -> None:
        """Facts of the unit changed, by a transition or without one (a probe's detail)."""

    async def examine(self, unit: str, reason: str) -> str:
        """Takes the evidence of a unit that was found dead; tells where it lies."""
