"""Which routers nginx should pass requests to, from what the nodes report.

The list must never lose a router only because nothing was heard of it: the agents of all routers
may be handing over at once, and a list without any makes nginx refuse every request. So a router
is removed because its agent says that it is not ready, or because it does not answer from here
either. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pdsup.cluster.report import Look
from pdsup.front.nginx_conf import Upstream
from pdsup.plan.model import Check, Plan, PlanUnit
from pdsup.units.public_state import PublicState


def wanted(
    plan: Plan,
    routers: Iterable[str],
    listed: frozenset[Upstream],
    look: Look,
    dead: Collection[str],
) -> frozenset[Upstream]:
    """The routers that nginx should pass requests to.

    ``listed``: those that it was last to pass requests to. ``look`` returns a unit's latest report,
    or None when its node gives no valid one. ``dead``: routers that do not answer from here.
    """
    places = {upstream.name: upstream for upstream in listed}
    found: set[Upstream] = set()
    for name in routers:
        unit, report, place = plan.by_name[name], look(name), places.get(name)
        if report is None:
            if place is not None and name not in dead:
                found.add(place)
        elif report.state is PublicState.RUNNING:
            # A run from before a change of the plan listens on the port that it had then.
            port = report.ports.get("http", unit.ports["http"])
            found.add(Upstream(name, plan.address[unit.node], port))
    return frozenset(found)


def silent(listed: Iterable[Upstream], look: Look) -> list[Upstream]:
    """The listed routers of which nothing is known from their agents: they have to answer here."""
    return sorted(upstream for upstream in listed if look(upstream.name) is None)


def question(unit: PlanUnit) -> Check | None:
    """The check that shows from another node whether a router is ready; None if it has none, and
    then a connection must do.
    """
    probes = (unit.probes.readiness, unit.probes.startup)
    checks = (check for probe in probes if probe for check in probe.checks)
    return next((check for check in checks if check.port == "http" and check.path), None)
