"""Answers the questions of a node's runners, and takes in their news."""

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
from pdsup.units.facts import Line, Transition
from pdsup.units.process.defects import Defects
from pdsup.units.runner import Runner
from pdsup.units.states import State


@dataclass(frozen=True, slots=True)
class NodeHost:
    """Implements ``UnitHost`` for the runners of one node.

    ``waits_for``: each says why a unit may not start yet, or None; the first reason counts.
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
    defects: Defects

    def gate(self, unit: str, *, first: bool) -> str | None:
        """What the unit waits for before a start, or None."""
        return next(filter(None, (reason(unit) for reason in self.waits_for)), None)

    def epoch(self, unit: str) -> int | None:
        """The epoch of its gang in which the unit may start now; None for a unit of no gang."""
        return self.gangs.epoch(unit)

    def before_spawn(self, unit: str) -> None:
        """Prepares a start: writes nginx's configuration and directories."""
        self.front.prepare(unit)

    def drain_within(self, unit: str) -> float:
        """The time limit for draining a unit, in seconds; 0 if it needs no drain."""
        return self.front.drains.within(unit)

    async def drain(self, unit: str) -> None:
        """Returns when a unit about to stop gets no new requests and has finished its last ones."""
        await self.front.drains.drain(unit)

    async def examine(self, unit: str, reason: str) -> str:
        """Collects evidence from a hung unit and its gang; a phrase says where it is."""
        return await self.evidence.examine(unit, reason, self.bell)

    def changed(
        self, unit: str, transition: Transition | None = None, line: Line | None = None
    ) -> None:
        """Publishes and records a unit's change, and lets the rest of the node react."""
        if line is not None:
            self.journal.write(line)  # before the lines of what follows from it
        contained = self.defects.contained
        with contained(f"the journal's news of {unit}"):
            self.journal.tell_of_log(unit, self.runners[unit].facts.log_problem)
        with contained(f"gangs, at news of {unit}"):
            self.gangs.react()  # records a run's epoch before its process is started
        with contained(f"the report of {unit}"):
            self.reports.publish([unit])
        # At once, not when ``due``: no report may show nginx ready with a list that lacks a router
        # known to be ready.
        with contained(f"the front, at news of {unit}"):
            self.front.react()
            self.reports.publish_front()
        self.gates.forget([unit])
        if transition is not None:
            with contained(f"the record of {unit}"):
                self.counters.take(transition)
                self.react_to(unit, transition.after)
                self.journal.tell_step(transition, line)
        self.due.set()

    def react_to(self, unit: str, state: State) -> None:
        """Ends the cluster if the unit has come to FATAL and the plan wants that."""
        if isinstance(state, states.Fatal) and self.plan.on_fatal == "stop-cluster":
            reason = states.reason_of(state)
            self.shutdown.begin(f"{unit} is FATAL: {reason}", of_cluster=True)
