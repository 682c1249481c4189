"""Whether a unit may start, from what the nodes report and which of their ports can be reached.

The gate decides over conditions, and both the reason of a unit that waits and its explanation are
made from these very conditions: they can't disagree. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pdsup.address import endpoint
from pdsup.cluster.report import Look, UnitReport
from pdsup.plan.model import Need, Plan, PlanUnit
from pdsup.units.public_state import PublicState

UnitPort = tuple[str, str]  # a unit, and the purpose of a port of it
Rule = Literal["all", "one-per-role"]
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a gate asks: that ``unit`` is ready, or that ``port`` of it can be reached.

    ``holds`` is None where this node does not know. ``detail``: what was found. ``lack``: the same
    for the reason of a unit that waits, without what changes often; empty where it holds.
    """

    unit: str
    port: str | None
    holds: bool | None
    detail: str
    lack: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a gate asks, and what comes of it.

    ``enough``: how many units of each role have to meet their conditions where ``rule`` is
    ``one-per-role``; one, where it does not say. ``missing``: one phrase per unit or role waited
    for; none and the gate is open. ``ask``: ports that were not tried yet and would matter now.
    """

    rule: Rule
    enough: Mapping[str, int]
    conditions: tuple[Condition, ...]
    missing: tuple[str, ...]
    ask: tuple[UnitPort, ...]

    @property
    def reason(self) -> str | None:
        """What is waited for, short enough for a status line, or None when open."""
        return waits_for(self.missing)


def waits_for(missing: Sequence[str]) -> str | None:
    """``waits for A, B, C and 2 more``; None when nothing is missing."""
    if not missing:
        return None
    rest = len(missing) - MOST_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return "waits for " + ", ".join(missing[:MOST_NAMED]) + more


def decide(
    plan: Plan, unit: str, look: Look, connects: Mapping[UnitPort, str | None], *, first: bool
) -> Decision:
    """The gate of ``unit``, before its first start or before a later one.

    ``look`` gives the last report of a unit, None when its node has not reported.
    ``connects`` holds, for each port tried from here, None or why the TCP connect failed.
    """
    needs = plan.by_name[unit].needs
    enough = needs.first_at_least if first else needs.later_at_least
    rule: Rule = ("one-per-role" if enough else "all") if first else needs.later
    asked = [_conditions(plan, need, look(need.unit), connects) for need in needs.units]
    lacks = {conditions[0].unit: _lack(conditions) for conditions in asked}
    return Decision(
        rule=rule,
        enough=enough,
        conditions=tuple(condition for conditions in asked for condition in conditions),
        missing=tuple(lack for lack in lacks.values() if lack)
        if rule == "all"
        else _roles_with_too_few(plan, lacks, enough),
        ask=tuple(port for conditions in asked for port in _untried(conditions)),
    )


def _conditions(
    plan: Plan, need: Need, report: UnitReport | None, connects: Mapping[UnitPort, str | None]
) -> tuple[Condition, ...]:
    """The unit itself, then its ports."""
    ports = (_reached(plan.by_name[need.unit], port, report, connects) for port in need.ports)
    return (_ready(need.unit, report), *ports)


def _ready(unit: str, report: UnitReport | None) -> Condition:
    """RUNNING is not enough of an nginx: while no router is ready it answers 503."""
    if report is None:
        return Condition(unit, None, None, "no report from its node", "no report from its node")
    where = f"{report.state} on {report.node}"
    why = f": {report.short_reason}" if report.reason else ""
    if report.ready:
        return Condition(unit, None, True, where + why)
    lack = where + why if report.state is PublicState.RUNNING else where
    return Condition(unit, None, False, where + why, lack)


def _reached(
    unit: PlanUnit, port: str, report: UnitReport | None, connects: Mapping[UnitPort, str | None]
) -> Condition:
    if report is not None and port not in report.ports:
        unknown = f"its node has no port {port} for it yet"
        return Condition(unit.name, port, False, unknown, unknown)
    where = endpoint(unit.node, unit.ports[port])
    if (unit.name, port) not in connects:
        return Condition(unit.name, port, None, "not tried from here", f"connecting to {where}")
    if (failure := connects[unit.name, port]) is None:
        return Condition(unit.name, port, True, "connected")
    lack = f"no TCP connection to {where}: {failure}"
    return Condition(unit.name, port, False, failure, lack)


def _untried(conditions: Sequence[Condition]) -> Iterator[UnitPort]:
    """To try the ports of a unit that is not ready tells nothing."""
    ready, *ports = conditions
    for one in ports:
        if ready.holds and one.holds is None and one.port is not None:
            yield one.unit, one.port


def _lack(conditions: Sequence[Condition]) -> str | None:
    """What is told of a unit that does not meet all its conditions: the first of these."""
    return next((f"{one.unit} ({one.lack})" for one in conditions if not one.holds), None)


def _roles_with_too_few(
    plan: Plan, lacks: Mapping[str, str | None], least: Mapping[str, int]
) -> tuple[str, ...]:
    by_role: dict[str, list[str | None]] = {}
    for name, lack in lacks.items():
        by_role.setdefault(plan.by_name[name].role or name, []).append(lack)
    missing = {role: least.get(role, 1) - found.count(None) for role, found in by_role.items()}
    return tuple(
        f"any {role}" if least.get(role, 1) == 1 else f"{more} more {role}"
        for role, more in missing.items()
        if more > 0
    )
