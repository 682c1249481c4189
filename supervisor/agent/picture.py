"""What this node reports of a unit, from its plan and its facts. Pure."""

from __future__ import annotations

from supervisor.cluster.report import ExitReport, UnitReport
from supervisor.plan.model import PlanUnit
from supervisor.units import states
from supervisor.units.facts import Facts

OUTDATED = "its plan has changed; it begins anew when its turn comes"


def unit_report(
    unit: PlanUnit,
    facts: Facts,
    unusable: str | None = None,
    upstreams: tuple[str, ...] | None = None,
    made: str = "",
    *,
    outdated: bool = False,
) -> UnitReport:
    """``unusable``: why the unit can't be used although it is RUNNING, if so. ``upstreams``: the
    routers that an nginx passes requests to, if that is known. ``made``: the fingerprint of what
    its last run was started as; ``outdated``: that is another thing by now.
    """
    state = states.public(facts.state)
    last = facts.last_exit
    settled = facts.run == 0 or state in ("STOPPED", "EXITED")
    waits = "" if not outdated or settled else OUTDATED
    why = states.reason_of(facts.state) or facts.detail or unusable
    reasons = (why, waits, facts.log_problem)
    reason = "; ".join(filter(None, reasons))
    return UnitReport(
        name=unit.name,
        kind=unit.kind,
        role=unit.role,
        node=unit.node,
        rank=unit.rank,
        gang=unit.gang,
        state=state,
        ready=state == "RUNNING" and unusable is None,
        pid=facts.pid,
        run=facts.run,
        restarts=max(0, facts.run - 1),
        since=facts.since,
        started=facts.started,
        ports=unit.ports,
        gpus=unit.gpus,
        # Command lines and file names may hold any bytes; a report holds text.
        reason=reason.encode(errors="backslashreplace").decode(),
        last_exit=ExitReport(code=last.status.code, signal=last.status.signal, at=last.at)
        if last
        else None,
        upstreams=upstreams,
        made=made,
    )
