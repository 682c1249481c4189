"""The reports of this node's units, put together from the parts that know something about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pdsup.cluster import own_report
from pdsup.cluster.gang import Gangs
from pdsup.cluster.gang_evidence import GangEvidence
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import UnitReport
from pdsup.cluster.rollout import Rollout
from pdsup.front.front import Front
from pdsup.units.runner import Runner


def described(runner: Runner, front: Front, rollout: Rollout) -> UnitReport:
    """The current report of a unit, before its gang and its evidence are added."""
    name = runner.unit.name
    return own_report.unit_report(
        runner.current.plan,
        runner.facts,
        front.unusable(name),
        front.upstreams(name),
        runner.fingerprint,
        rollout.holds(name) if runner.outdated else None,
        front.drains.waits_for(name),
        halted=runner.watch is not None and runner.watch.is_halted,
    )


class UnitReports:
    """Publishes the reports of one node's units. Publishing has no effect on the units."""

    def __init__(
        self,
        own_report: OwnReport,
        runners: Mapping[str, Runner],
        front: Front,
        rollout: Rollout,
        gangs: Gangs,
        evidence: GangEvidence,
    ) -> None:
        self._own_report = own_report
        self._runners = runners
        self._front = front
        self._rollout = rollout
        self._gangs = gangs
        self._evidence = evidence
        # Units that run by an earlier plan; each start of one is by the current plan.
        self._outdated = list(runners)

    def publish(self, units: Iterable[str]) -> None:
        """Publishes the current reports of these units."""
        for name in units:
            report = described(self._runners[name], self._front, self._rollout)
            report = self._gangs.stamped(report)
            self._own_report.publish(self._evidence.stamped(report))

    def publish_front(self) -> None:
        """Publishes nginx and the routers together, as the report of each depends on the others."""
        self.publish(self._front.units)

    def publish_outdated(self) -> None:
        """Publishes the units that wait for their turn to restart, as others decide about that."""
        self._outdated = [name for name in self._outdated if self._runners[name].outdated]
        self.publish(self._outdated)

    def publish_gangs(self) -> None:
        """Publishes all ranks, and all units that have been examined."""
        self.publish({*self._gangs.units, *self._evidence.examined})
