"""Whether a unit may start, from what the nodes report and which of their ports can be reached.

The gate decides over conditions, and both the reason of a unit that waits and its explanation are
made from these very conditions: they can't disagree. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pdsup.address import endpoint
from pdsup.cluster.report import Look, UnitReport
from pdsup.plan.model import Plan, PlanUnit
from pdsup.units.public_state import PublicState

UnitPort = tuple[str, str]  # a unit, and the purpose of a port of it
Rule = Literal["all", "one-per-role"]
MOST_NAMED = 3
NO_REPORT = "no report from its node"


class Condition(NamedTuple):  # a frozen dataclass takes thrice the time, and a gate asks thousands
    """One thing that a gate asks: that ``unit`` is ready, or that ``port`` of it can be reached.

    ``holds`` is None where this node does not know. ``report``: the last one of the unit;
    ``failure``: of the TCP connect.
    """

    unit: PlanUnit
    port: str | None
    holds: bool | None
    report: UnitReport | None
    failure: str | None = None

    @property
    def detail(self) -> str:
        """What was found."""
        match self:
            case Condition(report=None, port=None):
                return NO_REPORT
            case Condition(report=UnitReport() as report, port=None):
                why = f": {report.in_short}" if report.reason else ""
                return f"{report.state} on {report.node}{why}"
            case Condition(holds=None):
                return "not tried from here"
            case Condition(holds=True):
                return "connected"
        return self.failure or f"its node has no port {self.port} for it yet"

    @property
    def lack(self) -> str:
        """Why a unit waits for it. What changes often while a unit starts is left to that unit."""
        if self.port is None:
            report = self.report
            if report is None or report.state is PublicState.RUNNING:
                return self.detail
            return f"{report.state} on {report.node}"
        where = endpoint(self.unit.node, self.unit.ports[self.port])
        if self.holds is None:
            return f"connecting to {where}"
        return f"no TCP connection to {where}: {self.failure}" if self.failure else self.detail


@dataclass(frozen=True, slots=True)
class Decision:
    """What a gate asks, and what comes of it. ``asked``: for each unit that it needs, that it is
    ready, then that its ports can be reached.

    ``enough``: how many units of each role have to meet their conditions where ``rule`` is
    ``one-per-role``; one, where it does not say.
    """

    rule: Rule
    enough: Mapping[str, int]
    asked: tuple[tuple[Condition, ...], ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """One phrase per unit or role waited for; none and the gate is open."""
        lacks = [(conditions[0].unit, _lack(conditions)) for conditions in self.asked]
        if self.rule == "all":
            return tuple(lack for _, lack in lacks if lack)
        return _roles_with_too_few(lacks, self.enough)

    @property
    def reason(self) -> str | None:
        """What is waited for, short enough for a status line, or None when open."""
        return waits_for(self.missing)

    @property
    def ask(self) -> tuple[UnitPort, ...]:
        """Ports that were not tried yet; of a unit that is not ready they tell nothing."""
        return tuple(
            (one.unit.name, one.port)
            for conditions in self.asked
            if conditions[0].holds
            for one in conditions
            if one.holds is None and one.port is not None
        )


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
    asked = tuple(
        _conditions(plan.by_name[need.unit], need.ports, look(need.unit), connects)
        for need in needs.units
    )
    return Decision(rule, enough, asked)


def _conditions(
    unit: PlanUnit,
    ports: Sequence[str],
    report: UnitReport | None,
    connects: Mapping[UnitPort, str | None],
) -> tuple[Condition, ...]:
    """RUNNING is not enough of an nginx: while no router is ready it answers 503."""
    found = [Condition(unit, None, None if report is None else report.ready, report)]
    for port in ports:
        if report is not None and port not in report.ports:
            found.append(Condition(unit, port, False, report))
        elif (unit.name, port) not in connects:
            found.append(Condition(unit, port, None, report))
        else:
            failure = connects[unit.name, port]
            found.append(Condition(unit, port, failure is None, report, failure))
    return tuple(found)


def _lack(conditions: Sequence[Condition]) -> str | None:
    """What is told of a unit that does not meet all its conditions: the first of these."""
    for one in conditions:
        if not one.holds:
            return f"{one.unit.name} ({one.lack})"
    return None


def _roles_with_too_few(
    lacks: Iterable[tuple[PlanUnit, str | None]], least: Mapping[str, int]
) -> tuple[str, ...]:
    by_role: dict[str, list[str | None]] = {}
    for unit, lack in lacks:
        by_role.setdefault(unit.role or unit.name, []).append(lack)
    missing = {role: least.get(role, 1) - found.count(None) for role, found in by_role.items()}
    return tuple(
        f"any {role}" if least.get(role, 1) == 1 else f"{more} more {role}"
        for role, more in missing.items()
        if more > 0
    )
