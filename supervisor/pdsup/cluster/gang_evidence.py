"""Collects evidence from a hung unit before it is stopped, on every rank of its gang.

No agent commands another: a rank under examination says so in its report, an agent that reads this
from a rank of the same gang examines its own ranks, and so on until all are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from pdsup import clock
from pdsup.bell import Bell
from pdsup.cluster import gang_rules
from pdsup.cluster.report import Examination, Look, UnitReport
from pdsup.plan.model import Plan
from pdsup.units import evidence
from pdsup.units.evidence import Evidence
from pdsup.units.runner import Runner


@dataclass(frozen=True, slots=True)
class _Exam:
    """The examination of one run; the task returns a phrase that says where the evidence is."""

    state: Examination
    task: asyncio.Task[str]


class GangEvidence:
    """The examinations on one node. ``on_change`` is called when one begins or is done.

    ``look`` returns the latest report of any unit, or None when its node gives no valid one.
    """

    def __init__(
        self,
        plan: Plan,
        runners: Mapping[str, Runner],
        collection: Evidence,
        tasks: asyncio.TaskGroup,
        look: Look,
        on_change: Callable[[], None],
    ) -> None:
        self._runners = runners
        self._collection = collection
        self._group = tasks
        self._look = look
        self._on_change = on_change
        self._exams: dict[str, _Exam] = {}
        self._siblings = {
            name: tuple(other for other in ranks if other != name)
            for ranks in gang_rules.ranks(plan).values()
            for name in ranks
            if name in runners
        }

    @property
    def examined(self) -> Iterable[str]:
        """The units of this node that have been examined, or are being."""
        return self._exams.keys()

    def stamped(self, report: UnitReport) -> UnitReport:
        """The report with the progress of the unit's examination."""
        exam = self._exams.get(report.name)
        return replace(report, examination=exam.state) if exam else report

    async def examine(self, unit: str, reason: str, bell: Bell) -> str:
        """A phrase that says where the evidence is, or why there is none.

        Returns when all ranks that can be reached have theirs, at the latest after
        ``evidence.WITHIN_S``. ``bell`` rings when a report arrives.
        """
        until = clock.monotonic() + evidence.WITHIN_S
        outcome = await asyncio.shield(self._exam(unit, reason).task)
        left = max(0.0, until - clock.monotonic())
        await bell.wait_until(lambda: not any(map(self._lacks, self._siblings.get(unit, ()))), left)
        return outcome

    async def take(self, unit: str, reason: str) -> tuple[str | None, str]:
        """Collects evidence now, from this unit alone; returns where it is, or None and why there
        is none. What is collected before a hung unit is stopped is not affected.
        """
        runner = self._runners[unit]
        if (watch := runner.watch) is None:
            return None, "it is not running"
        run, subject, asked = runner.facts.run, watch.subject, watch.asked
        try:
            where = await self._collection.collect(unit, run, reason, subject, asked, clock.wall())
        except OSError as error:  # also when it took too long
            return None, error.strerror or str(error) or "it took too long"
        return where, ""

    def react(self) -> None:
        """Examines the units of this node whose gang is being examined."""
        for unit, others in self._siblings.items():
            for report in filter(None, map(self._look, others)):
                if _is_examined(report) and self._runners[unit].watch is not None:
                    self._exam(unit, f"{report.name} of the same gang is being examined")

    async def close(self) -> None:
        """Cancels the examinations under way."""
        tasks = [exam.task for exam in self._exams.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _exam(self, unit: str, reason: str) -> _Exam:
        """The examination of the current run; begins it if there is none yet."""
        run = self._runners[unit].facts.run
        exam = self._exams.get(unit)
        if exam is None or exam.state.run != run:
            task = self._group.create_task(self._take(unit, run, reason))
            exam = self._exams[unit] = _Exam(Examination(run=run, done=False), task)
            self._on_change()
        return exam

    async def _take(self, unit: str, run: int, reason: str) -> str:
        watch = self._runners[unit].watch
        try:
            if watch is None:
                return "no evidence: it has ended"
            where = await self._collection.collect(unit, run, reason, watch.subject, watch.asked)
            return f"evidence in {where}"
        except OSError as error:  # also when it took too long
            return f"no evidence: {error.strerror or error or 'it took too long'}"
        except Exception as error:  # its restart must not depend on it
            return f"no evidence: {error!r}"
        finally:
            exam = self._exams[unit]
            if exam.state.run == run:
                self._exams[unit] = replace(exam, state=Examination(run=run, done=True))
                self._on_change()

    def _lacks(self, unit: str) -> bool:
        """Whether a rank that is alive and can be reached still has to be examined."""
        report = self._look(unit)
        if report is None or report.pid is None:
            return False
        return not (_is_examined(report) and report.examination and report.examination.done)


def _is_examined(report: UnitReport) -> bool:
    """Whether the unit's current run is being examined, or has been."""
    exam = report.examination
    return exam is not None and exam.run == report.run and report.pid is not None
