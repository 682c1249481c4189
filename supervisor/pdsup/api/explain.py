"""Why a unit is in its state and what happens next, from what one agent knows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pdsup.cluster.gate_rules import Path
from pdsup.cluster.report import Look
from pdsup.journal.runs import short
from pdsup.plan.model import Need, Plan, PlanUnit
from pdsup.units import states
from pdsup.units.facts import Facts
from pdsup.units.states import FOREVER


@dataclass(frozen=True, slots=True)
class Now:
    """One moment on both clocks, in seconds."""

    wall: float
    monotonic: float


def conditions(
    plan: Plan, unit: str, look: Look, connects: Mapping[Path, str | None]
) -> Iterator[dict[str, Any]]:
    """What the gate of a unit asks, each with its truth; None where this agent does not know.

    ``look`` and ``connects`` are those of ``gate.decide``.
    """
    for need in plan.by_name[unit].needs.units:
        yield {"what": f"{need.unit} RUNNING", **_running(need, look)}
        for port in need.ports:
            where = f"{plan.address[plan.by_name[need.unit].node]}:{_number(plan, need, port)}"
            yield {"what": f"TCP to {need.unit} {port} ({where})", **_tcp(need, port, connects)}


def _running(need: Need, look: Look) -> dict[str, Any]:
    report = look(need.unit)
    if report is None:
        return {"holds": None, "detail": "no report from its node"}
    reason = f": {short(report.reason)}" if report.reason else ""
    return {"holds": report.state == "RUNNING", "detail": f"{report.state}{reason}"}


def _number(plan: Plan, need: Need, port: str) -> int:
    return plan.by_name[need.unit].ports[port]


def _tcp(need: Need, port: str, connects: Mapping[Path, str | None]) -> dict[str, Any]:
    if (need.unit, port) not in connects:
        return {"holds": None, "detail": "not tried from here"}
    failure = connects[need.unit, port]
    return {"holds": failure is None, "detail": failure or "connected"}


def gate(
    plan: Plan, unit: str, run: int, look: Look, connects: Mapping[Path, str | None]
) -> dict[str, Any]:
    """The gate of a unit that is in its ``run``-th life (0: before the first)."""
    needs = plan.by_name[unit].needs
    enough = needs.later_at_least if run else needs.first_at_least
    rule = needs.later if run else "one-per-role" if enough else "all"
    return {
        "rule": rule,
        "enough": enough,
        "conditions": list(conditions(plan, unit, look, connects)),
    }


def outlook(unit: PlanUnit, shown: Mapping[str, Any], facts: Facts | None, now: Now) -> Any:
    """What happens next, as a sentence, and when (seconds since the epoch, None when open).

    ``shown``: the unit of the status JSON. ``facts`` only this node's own units have.
    """
    until = states.deadline(facts.state) if facts else FOREVER
    at = None if until == FOREVER else round(now.wall + until - now.monotonic, 3)
    return {"what": _next(unit, shown, facts), "at": at}


def _next(unit: PlanUnit, shown: Mapping[str, Any], facts: Facts | None) -> str:
    match shown["state"]:
        case "STOPPED" | "EXITED":
            return "it stays down until it is started"
        case "FATAL":
            return "it is not tried again until it is started"
        case "WAITING":
            return "it starts when what it waits for is there"
        case "STARTING":
            return "it is RUNNING when its startup probe passes, and ended if that takes too long"
        case "RUNNING":
            return "it runs on; if it ends, it is " + _after_end(unit)
        case "UNHEALTHY":
            return "it is left alone, and RUNNING again when its readiness probe passes"
        case "STOPPING":
            return "whatever is left of it at its deadline is killed"
        case "BACKOFF":
            return f"the next attempt; {_failures(unit, facts)}"
    return "its node's agent knows; it can't be asked"


def _after_end(unit: PlanUnit) -> str:
    match unit.restart.policy:
        case "always":
            return "started again"
        case "on-failure":
            return "started again, unless its status is 0"
        case "never":
            return "not started again"


def _failures(unit: PlanUnit, facts: Facts | None) -> str:
    restart = unit.restart
    most = f"more than {restart.max_failures} failures within {restart.window_s:g} s: given up"
    match facts:
        case Facts(state=states.Backoff(failures=counted)):
            return f"{most}, this was number {len(counted)}"
    return most
