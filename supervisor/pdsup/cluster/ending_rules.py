"""When a run has ended, and which unit may stop next: those in front of it are gone first. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pdsup.cluster.report import Look, UnitReport
from pdsup.plan.model import Plan
from pdsup.units.public_state import PublicState


def reason(plan: Plan, look: Look) -> str | None:
    """What ended the run, or None while it goes on: a sentence about the plan's last benchmark.

    A plan may have several; then all have to end. One that an operator stopped has not ended.
    """
    reports = [look(unit.name) for unit in plan.units if unit.kind == "benchmark"]
    ended = [report for report in reports if report is not None and report.state.ended_by_itself]
    if not ended or len(ended) < len(reports):
        return None
    last = max(ended, key=lambda report: report.since)
    return f"{last.name} is {last.state}: {last.reason}"


def status(reports: Iterable[UnitReport]) -> int:
    """The exit status for the benchmarks among a node's units: the highest; 1 for a killed one."""
    return max((_status(report) for report in reports if report.kind == "benchmark"), default=0)


def _status(report: UnitReport) -> int:
    last = report.last_exit
    if last is None or report.state is not PublicState.EXITED:
        return 0
    return 1 if last.code is None else last.code


def dependents(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For each unit, those that stop before it: who needs it, and the nginx in front of it."""
    found: dict[str, list[str]] = {unit.name: [] for unit in plan.units}
    for unit in plan.units:
        for name in unit.stops_before:
            found[name].append(unit.name)
    return {name: tuple(names) for name, names in found.items()}


def patience(plan: Plan) -> dict[str, float]:
    """For each unit, how many seconds those in front of it may take to stop, at the most."""
    in_front = dependents(plan)
    known: dict[str, float] = {}

    def of(name: str) -> float:
        if name not in known:
            times = [of(other) + plan.by_name[other].stop.timeout_s for other in in_front[name]]
            known[name] = max(times, default=0.0)
        return known[name]

    return {unit.name: of(unit.name) for unit in plan.units}


def settled(report: UnitReport | None) -> bool:
    """Whether nothing of the unit runs or will run. A node that can't be reached has none."""
    return report is None or report.state.is_settled
