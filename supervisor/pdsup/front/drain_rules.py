"""Whether nginx passes requests to a router, from what the nodes report. Pure."""

from __future__ import annotations

from enum import Enum

from pdsup.cluster.report import Look, UnitReport
from pdsup.plan.model import Plan
from pdsup.units.public_state import PublicState


class Use(Enum):
    """Whether a router gets requests through nginx."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"  # a node can't be reached, or its nginx's list is not known yet


def in_front(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For each router of the plan, the nginx units that may pass requests to it."""
    fronts: dict[str, list[str]] = {}
    for unit in plan.units:
        for name in unit.upstreams:
            fronts.setdefault(name, []).append(unit.name)
    return {name: tuple(names) for name, names in fronts.items()}


def use(router: str, fronts: tuple[str, ...], look: Look) -> Use:
    """Whether any of ``fronts``, names of nginx units, passes requests to the router.

    ``look`` returns a unit's latest report, or None when its node gives no valid one.
    """
    uses = {_use(router, look(name)) for name in fronts}
    return next((worse for worse in (Use.SOME, Use.UNKNOWN) if worse in uses), Use.NONE)


def lacks(router: str, fronts: tuple[str, ...], look: Look) -> str | None:
    """Why a router that is ready gets no requests yet, or None.

    A router is not blamed for an nginx that does not run or that nothing is known about.
    """
    for name in fronts:
        report = look(name)
        if report is None or report.state is not PublicState.RUNNING or report.upstreams is None:
            continue
        if router not in report.upstreams:
            return f"{name} does not pass requests to it yet"
    return None


def _use(router: str, nginx: UnitReport | None) -> Use:
    if nginx is None or (nginx.pid is not None and nginx.upstreams is None):
        return Use.UNKNOWN
    listed = nginx.pid is not None and router in (nginx.upstreams or ())
    return Use.SOME if listed else Use.NONE
