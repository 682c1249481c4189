"""When a run is over, and in which order its units stop.

Requests come in through nginx, then a router, then the workers. A unit stops only when every unit
in front of it has stopped, on whatever node: otherwise the front would send requests to a unit that
is gone. An unreachable node counts as stopped, and each unit waits a bounded time (``patience``),
so that neither a dead node nor a hung unit keeps a node from ending. A run is over when all its
benchmarks have exited. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from pdsup.cluster.report import Look, UnitReport
from pdsup.plan.model import Plan
from pdsup.units.public_state import PublicState


def reason(plan: Plan, look: Look) -> str | None:
    """Why the run is over, or None while it continues: a sentence about the last benchmark to end.

    All of a plan's benchmarks must have ended. One that an operator stopped has not ended.
    """
    reports = [look(unit.name) for unit in plan.units if unit.kind == "benchmark"]
    ended = [report for report in reports if report is not None and report.state.ended_by_itself]
    if not ended or len(ended) < len(reports):
        return None
    last = max(ended, key=lambda report: report.since)
    return f"{last.name} is {last.state}: {last.reason}"


def status(reports: Iterable[UnitReport]) -> int:
    """The agent's exit status: the highest among a node's benchmarks, where a killed one counts 1.

    It is 0 on a node without a benchmark.
    """
    return max((_status(report) for report in reports if report.kind == "benchmark"), default=0)


def _status(report: UnitReport) -> int:
    last = report.last_exit
    if last is None or report.state is not PublicState.EXITED:
        return 0
    return 1 if last.code is None else last.code


def dependents(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For each unit, the units that stop before it: those that need it, and the nginx in front."""
    before: dict[str, list[str]] = {unit.name: [] for unit in plan.units}
    for unit in plan.units:
        for name in unit.stops_before:
            before[name].append(unit.name)
    return {name: tuple(names) for name, names in before.items()}


def patience(plan: Plan) -> dict[str, float]:
    """For each unit, the longest that the units in front of it may take to stop, in seconds."""
    in_front = dependents(plan)
    known: dict[str, float] = {}

    def of(name: str) -> float:
        if name not in known:
            times = [of(other) + plan.by_name[other].stop.timeout_s for other in in_front[name]]
            known[name] = max(times, default=0.0)
        return known[name]

    return {unit.name: of(unit.name) for unit in plan.units}


def settled(report: UnitReport | None) -> bool:
    """Whether the unit neither runs nor will run; also true without a report of its node."""
    return report is None or report.state.is_settled
