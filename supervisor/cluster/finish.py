"""Whether a run has come to its end by itself: the benchmark of its plan has ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from supervisor.cluster.gate import Look
from supervisor.cluster.report import UnitReport
from supervisor.plan.model import Plan

OVER = frozenset({"EXITED", "FATAL"})


def reason(plan: Plan, look: Look) -> str | None:
    """What ended the run, or None while it goes on: a sentence about the plan's last benchmark.

    A plan may have several; then all have to end. One that an operator stopped has not ended.
    """
    reports = [look(unit.name) for unit in plan.units if unit.kind == "benchmark"]
    ended = [report for report in reports if report is not None and report.state in OVER]
    if not ended or len(ended) < len(reports):
        return None
    last = max(ended, key=lambda report: report.since)
    return f"{last.name} is {last.state}: {last.reason}"


def status(reports: Iterable[UnitReport]) -> int:
    """The exit status for the benchmarks among a node's units: the highest; 1 for a killed one."""
    return max((_status(report) for report in reports if report.kind == "benchmark"), default=0)


def _status(report: UnitReport) -> int:
    last = report.last_exit
    if last is None or report.state != "EXITED":
        return 0
    return 1 if last.code is None else last.code
