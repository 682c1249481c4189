"""The URL for clients: one rule for a plan, its benchmark and the status of a cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pdsup.address import url
from pdsup.plan.model import Plan, PlanUnit


@dataclass(frozen=True, slots=True)
class Server:
    """A unit, as far as the rule needs it. ``address``: its node's; ``port``: its HTTP port."""

    kind: str
    role: str | None
    rank: int | None
    address: str
    port: int | None


def front(servers: Iterable[Server]) -> str | None:
    """The URL of nginx, else of the first router, else of the only aggregated worker."""
    known = tuple(servers)
    agg = [server for server in known if server.role == "agg" and not server.rank]
    for group in (
        [server for server in known if server.kind == "nginx"],
        [server for server in known if server.kind == "router"],
        agg if len(agg) == 1 else [],
    ):
        for server in group:
            if server.port is not None:
                return url(server.address, server.port)
    return None


def server(unit: PlanUnit, address: str) -> Server:
    """The server that a unit of a plan is, on a node with this address."""
    return Server(unit.kind, unit.role, unit.rank, address, unit.ports.get("http"))


def front_of(plan: Plan) -> str | None:
    """The URL for clients of the plan's cluster, if it has one."""
    return front(server(unit, plan.address[unit.node]) for unit in plan.units)
