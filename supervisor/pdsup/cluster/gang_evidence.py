"""Has the evidence of a dead unit taken before it is ended, on every rank of its gang.

Nobody orders another agent to do so: a rank that is examined says so in its report, whoever reads
that of a rank of the same gang examines its own, and so on until all are.
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
    """One of a run; its task brings the words about where its evidence lies."""

    state: Examination
    task: asyncio.Task[str]


class GangEvidence:
    """The evidence of one node. ``on_change`` is called when there is another one to tell of.

    ``look`` gives the last report of any unit, None when its node can't be relied on.
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
        """The units of this node whose report tells of an exam."""
        return self._exams.keys()

    def stamped(self, report: UnitReport) -> UnitReport:
        """The report of a unit of this node with how far its exam is."""
        exam = self._exams.get(report.name)
        return replace(report, examination=exam.state) if exam else report

    async def examine(self, unit: str, reason: str, bell: Bell) -> str:
        """Where the evidence lies, or why there is none, in words; within ``evidence.WITHIN_S``.

        Other ranks have as long, if their nodes can be reached. ``bell`` rings when a report came.
        """
        until = clock.monotonic() + evidence.WITHIN_S
        told = await asyncio.shield(self._exam(unit, reason).task)
        left = max(0.0, until - clock.monotonic())
        await bell.wait_until(lambda: not any(map(self._lacks, self._siblings.get(unit, ()))), left)
        return told

    def react(self) -> None:
        """Examines the units of this node whose gang is being examined."""
        for unit, others in self._siblings.items():
            for report in filter(None, map(self._look, others)):
                if _is_examined(report) and self._runners[unit].watch is not None:
                    self._exam(unit, f"{report.name} of the same gang is examined")

    async def close(self) -> None:
        """Gives up what is being taken."""
        tasks = [exam.task for exam in self._exams.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _exam(self, unit: str, reason: str) -> _Exam:
        """The exam of the present run, begun unless it has been."""
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
        finally:
            exam = self._exams[unit]
            if exam.state.run == run:
                self._exams[unit] = replace(exam, state=Examination(run=run, done=True))
                self._on_change()

    def _lacks(self, unit: str) -> bool:
        """Whether a rank lives whose evidence is still to come. One that can't be asked is none."""
        report = self._look(unit)
        if report is None or report.pid is None:
            return False
        return not (_is_examined(report) and report.examination and report.examination.done)


def _is_examined(report: UnitReport) -> bool:
    """Whether the present run of a unit is, or has been."""
    exam = report.examination
    return exam is not None and exam.run == report.run and report.pid is not None
