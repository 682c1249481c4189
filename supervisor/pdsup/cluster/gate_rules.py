"""Whether a unit may start, from what the nodes report and which of their ports can be reached.

A gate is a set of conditions: that a unit is ready, and that each named port of it accepts a TCP
connection from this node. A condition holds, fails, or is unknown; an unknown one keeps the gate
closed, because a unit that starts too early fails or, worse, serves without its peers. Nothing is
remembered: the gate is computed anew from the latest reports, so a late or repeated report does no
harm. The reason shown for a waiting unit and the output of ``pdsup explain`` both come from these
conditions, so they can't disagree. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pdsup.address import endpoint
from pdsup.cluster.report import Look, UnitReport
from pdsup.plan.model import Plan, PlanUnit
from pdsup.units.public_state import PublicState

UnitPort = tuple[str, str]  # the names of a unit and of one of its ports: ("decode-0", "http")
Rule = Literal["all", "one-per-role"]
MOST_NAMED = 3
NO_REPORT = "no report from its node"


class Condition(NamedTuple):  # three times as fast as a frozen dataclass; a gate has thousands
    """One condition of a gate: ``unit`` is ready, or its ``port`` can be reached.

    ``holds`` is None while this node does not know. ``report`` is the unit's latest report, and
    ``failure`` says why the TCP connect failed.
    """

    unit: PlanUnit
    port: str | None
    holds: bool | None
    report: UnitReport | None
    failure: str | None = None

    @property
    def detail(self) -> str:
        """The evidence for ``holds``, for ``pdsup explain``."""
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
        """Why the waiting unit can't start yet.

        It leaves out the other unit's detail, which may change every second while that starts.
        """
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
    """The conditions of a gate and their outcome.

    ``asked`` has one tuple for each unit needed: first that it is ready, then that each of its
    ports can be reached. ``enough`` says how many units of a role must meet their conditions under
    the rule ``one-per-role``; one for a role that it does not name.
    """

    rule: Rule
    enough: Mapping[str, int]
    asked: tuple[tuple[Condition, ...], ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """One phrase for each unit or role waited for; empty when the gate is open."""
        lacks = [(conditions[0].unit, _lack(conditions)) for conditions in self.asked]
        if self.rule == "all":
            return tuple(lack for _, lack in lacks if lack)
        return _roles_with_too_few(lacks, self.enough)

    @property
    def reason(self) -> str | None:
        """What the gate waits for, short enough for a status line; None when it is open."""
        return waits_for(self.missing)

    @property
    def ask(self) -> tuple[UnitPort, ...]:
        """The ports still to be tried. Ports of a unit that is not ready are not worth trying."""
        return tuple(
            (condition.unit.name, condition.port)
            for conditions in self.asked
            if conditions[0].holds
            for condition in conditions
            if condition.holds is None and condition.port is not None
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
    """The gate of ``unit`` before its first start, or before a restart.

    ``look`` returns a unit's latest report, or None when its node has not reported. ``connects``
    holds the outcome for each port tried from this node: None, or why the TCP connect failed.
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
    """The conditions for one unit.

    They ask for ``ready``, not for RUNNING: a running nginx answers 503 until a router is ready.
    """
    conditions = [Condition(unit, None, None if report is None else report.ready, report)]
    for port in ports:
        if report is not None and port not in report.ports:
            conditions.append(Condition(unit, port, False, report))
        elif (unit.name, port) not in connects:
            conditions.append(Condition(unit, port, None, report))
        else:
            failure = connects[unit.name, port]
            conditions.append(Condition(unit, port, failure is None, report, failure))
    return tuple(conditions)


def _lack(conditions: Sequence[Condition]) -> str | None:
    """A phrase for the first condition that does not hold, or None when all do."""
    for condition in conditions:
        if not condition.holds:
            return f"{condition.unit.name} ({condition.lack})"
    return None


def _roles_with_too_few(
    lacks: Iterable[tuple[PlanUnit, str | None]], least: Mapping[str, int]
) -> tuple[str, ...]:
    by_role: dict[str, list[str | None]] = {}
    for unit, lack in lacks:
        by_role.setdefault(unit.role or unit.name, []).append(lack)
    missing = {role: least.get(role, 1) - units.count(None) for role, units in by_role.items()}
    return tuple(
        f"any {role}" if least.get(role, 1) == 1 else f"{more} more {role}"
        for role, more in missing.items()
        if more > 0
    )
