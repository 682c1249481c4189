"""What the runners of a node ask of it and tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pdsup.agent.counters import Counters
from pdsup.agent.shutdown import Shutdown
from pdsup.agent.unit_reports import UnitReports
from pdsup.bell import Bell
from pdsup.cluster.gang import Gangs
from pdsup.cluster.gang_evidence import GangEvidence
from pdsup.cluster.gate import Gates
from pdsup.front.front import Front
from pdsup.journal.news import News
from pdsup.plan.model import Plan
from pdsup.units import states
from pdsup.units.facts import Transition
from pdsup.units.runner import Runner


@dataclass(frozen=True, slots=True)
class NodeHost:
    """The node to its runners: ``UnitHost``. ``waits_for``: each says why a unit may not start, or
    None; the first reason counts.
    """

    plan: Plan
    runners: Mapping[str, Runner]
    waits_for: Sequence[Callable[[str], str | None]]
    gates: Gates
    gangs: Gangs
    front: Front
    evidence: GangEvidence
    reports: UnitReports
    counters: Counters
    journal: News
    shutdown: Shutdown
    bell: Bell
    due: asyncio.Event

    def gate(self, unit: str, *, first: bool) -> str | None:
        """What the unit waits for before a start, or None."""
        return next(filter(None, (reason(unit) for reason in self.waits_for)), None)

    def epoch(self, unit: str) -> int | None:
        """The epoch of its gang in which the unit may start now; None for a unit of no gang."""
        return self.gangs.epoch(unit)

    def before_spawn(self, unit: str) -> None:
        """nginx finds its configuration and directories ready."""
        self.front.prepare(unit)

    def drain_within(self, unit: str) -> float:
        """How long it may take to get a unit out of use, in seconds; 0: it need not be."""
        return self.front.drains.within(unit)

    async def drain(self, unit: str) -> None:
        """Returns when a unit that is to end has no more work and gets none."""
        await self.front.drains.drain(unit)

    async def examine(self, unit: str, reason: str) -> str:
        """Takes the evidence of a unit that was found dead, and of its gang; tells where it is."""
        return await self.evidence.examine(unit, reason, self.bell)

    def changed(self, unit: str, transition: Transition | None) -> None:
        """Publishes and records what a runner told, and lets the rest of the node react."""
        self.journal.tell_of_log(unit, self.runners[unit].facts.log_problem)
        self.gangs.react()  # a run's epoch is noted before its process is started
        self.reports.publish([unit])
        # At once, not soon: whoever reads that a router is ready must not read that nginx is too,
        # by a list without that router.
        self.front.react()
        self.reports.publish_front()
        self.gates.forget([unit])
        if transition is not None:
            self.record(transition)
        self.due.set()

    def record(self, transition: Transition, *, late: bool = False) -> None:
        """Counts a step of a unit and writes it down; one that gave up may end the cluster.

        ``late``: it was an earlier agent's.
        """
        self.counters.take(transition)
        if isinstance(transition.after, states.Fatal) and self.plan.on_fatal == "stop-cluster":
            reason = states.reason_of(transition.after)
            self.shutdown.begin(f"{transition.unit} is FATAL: {reason}", of_cluster=True)
        self.journal.tell(transition, late=late)
