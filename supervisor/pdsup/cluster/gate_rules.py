"""Whether a unit may start, and whether it may stop, from what the nodes report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pdsup.cluster.report import Look, UnitReport
from pdsup.plan.model import Need, Plan

Path = tuple[str, str]  # unit, purpose of its port


@dataclass(frozen=True, slots=True)
class Verdict:
    """``missing``: one phrase per unit waited for; none and the gate is open.

    ``ask``: paths whose TCP connect is not known yet and would matter now.
    """

    missing: tuple[str, ...]
    ask: tuple[Path, ...]

    @property
    def reason(self) -> str | None:
        """What is waited for, short enough for a status line, or None when open."""
        if not self.missing:
            return None
        more = f" and {len(self.missing) - 3} more" if len(self.missing) > 3 else ""
        return "waits for " + ", ".join(self.missing[:3]) + more


def decide(
    plan: Plan, unit: str, look: Look, connects: Mapping[Path, str | None], *, first: bool
) -> Verdict:
    """The gate of ``unit``.

    ``look`` gives the last report of a unit, None when its node has not reported.
    ``connects`` holds, for each path tried from here, None or why the TCP connect failed.
    """
    needs = plan.by_name[unit].needs
    lacks = {need.unit: _lack(need, look, connects) for need in needs.units}
    ask = tuple(
        (need.unit, port)
        for need in needs.units
        if _usable(look(need.unit))
        for port in need.ports
        if (need.unit, port) not in connects
    )
    if needs.first_at_least if first else needs.later != "all":
        least = needs.first_at_least if first else needs.later_at_least
        return Verdict(_roles_with_too_few(plan, lacks, least), ask)
    return Verdict(tuple(lack for lack in lacks.values() if lack), ask)


def _lack(need: Need, look: Look, connects: Mapping[Path, str | None]) -> str | None:
    report = look(need.unit)
    if report is None:
        return f"{need.unit} (no report from its node)"
    if not _usable(report):
        why = f": {report.reason}" if report.state == "RUNNING" and report.reason else ""
        return f"{need.unit} ({report.state} on {report.node}{why})"
    for port in need.ports:
        if port not in report.ports:
            return f"{need.unit} (its node has no port {port} for it yet)"
        where = f"{report.node}:{report.ports[port]}"
        if (need.unit, port) not in connects:
            return f"{need.unit} (connecting to {where})"
        if (failure := connects[need.unit, port]) is not None:
            return f"{need.unit} (no TCP connection to {where}: {failure})"
    return None


def _usable(report: UnitReport | None) -> bool:
    """RUNNING, and of nginx: it lists every router that is ready."""
    return report is not None and report.ready


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
