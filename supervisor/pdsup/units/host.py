"""What a unit depends on: the parts that all units of a node share, and the agent around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pdsup.plan.masks import BY_FORM, Mask
from pdsup.units.cause import CauseSearch
from pdsup.units.facts import Line, Transition
from pdsup.units.ledger import LedgerFile
from pdsup.units.process.defects import Defects
from pdsup.units.process.guardian_link import GuardianLink
from pdsup.units.process.nvml import GpuReadings
from pdsup.units.process.reap import Reaper
from pdsup.units.process.spawn import Spawner


@dataclass(frozen=True, slots=True)
class Host:
    """The parts that all units of a node share. ``line`` encodes a step for ledger and journal;
    ``cluster``: the name of the cluster's run; ``mask``: masks secrets in what is said about its
    units.
    """

    spawner: Spawner
    reaper: Reaper
    gpus: GpuReadings
    causes: CauseSearch
    ledger: LedgerFile
    line: Callable[[Transition], Line]
    guardian: GuardianLink
    tasks: asyncio.TaskGroup
    cluster: str
    defects: Defects
    mask: Mask = BY_FORM


class UnitHost(Protocol):
    """The agent, as a runner sees it."""

    def gate(self, unit: str, *, first: bool) -> str | None:
        """Returns what the unit must wait for before it starts; None if it may start now."""

    def epoch(self, unit: str) -> int | None:
        """Returns the gang epoch in which the unit may start now; None if it has no gang."""

    def before_spawn(self, unit: str) -> None:
        """Makes the last preparations; raises SupervisorError or OSError to refuse the start."""

    def drain_within(self, unit: str) -> float:
        """Returns how many seconds draining the unit may take; 0 if it need not drain."""

    async def drain(self, unit: str) -> None:
        """Takes the unit out of use; returns when it has no requests in flight and gets no more."""

    def changed(
        self, unit: str, transition: Transition | None = None, line: Line | None = None
    ) -> None:
        """Is called when facts changed; if the state did, with the transition and its line."""

    async def examine(self, unit: str, reason: str) -> str:
        """Collects evidence from a hung unit; returns where it is."""
