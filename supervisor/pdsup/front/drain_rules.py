"""What the nginx in front of a router does with it, from what the nodes report. Pure."""

from __future__ import annotations

from enum import Enum

from pdsup.cluster.report import Look, UnitReport
from pdsup.plan.model import Plan
from pdsup.units.public_state import PublicState


class Use(Enum):
    """Whether requests come to a router through nginx."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"  # a node can't be asked, or its nginx has not told its list


def in_front(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For each router of the plan, the units of nginx that may pass requests to it."""
    found: dict[str, list[str]] = {}
    for unit in plan.units:
        for name in unit.upstreams:
            found.setdefault(name, []).append(unit.name)
    return {name: tuple(names) for name, names in found.items()}


def use(router: str, fronts: tuple[str, ...], look: Look) -> Use:
    """Whether any of ``fronts`` passes requests to the router.

    ``look`` gives the last report of a unit, None when its node can't be relied on.
    """
    uses = {_use(router, look(name)) for name in fronts}
    return next((one for one in (Use.SOME, Use.UNKNOWN) if one in uses), Use.NONE)


def lacks(router: str, fronts: tuple[str, ...], look: Look) -> str | None:
    """Why a router that is ready gets no requests yet, or None.

    An nginx that does not run, or of which nothing is known, is no fault of the router.
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
