"""What a router that is about to stop waits for: nginx's list first, then its last requests.

A router's own figures alone can't tell that it has no requests left: a client that goes away before
it was answered is counted for ever (``smg_http_connections_active``, sglang-router 0.3.2), and so
is a probe that was given up. Nor can its connections, which clients keep open between requests. But
a request needs both, so the smaller number counts. Pure.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from pdsup.cluster.report import Look, UnitReport
from pdsup.plan.model import Plan
from pdsup.units.public_state import PublicState


class Use(Enum):
    """Whether a router gets requests through nginx."""

    NONE = "none"
    SOME = "some"  # or it may: its nginx's list is not known yet
    UNKNOWN = "unknown"  # a node can't be reached


# After so long, requests that no worker knows of, and that do not get fewer, are none: a request
# without a worker is answered with an error, or given to another worker, much sooner.
STILL_S = 15.0
_ESTABLISHED = "01"  # include/net/tcp_states.h


@dataclass(frozen=True, slots=True)
class Load:
    """What a router has to do. ``unanswered``: requests without a response yet; ``served``: those
    that its workers have; ``connections``: those to its port, None if that is not known.
    """

    unanswered: float
    served: float
    connections: int | None

    @property
    def left(self) -> int:
        """How many requests it may have, at most."""
        said = self.unanswered + self.served
        counted = int(said) if 0 < said < math.inf else 0
        return counted if self.connections is None else min(counted, self.connections)


def is_over(load: Load, still_s: float) -> bool:
    """Whether a router has no requests left; ``still_s``: for how long nothing about them changed,
    in seconds.
    """
    return load.left == 0 or (load.served == 0 and still_s >= STILL_S)


def connections(tables: Iterable[str], address: str | None, port: int) -> int:
    """How many connections a listener has, from the text of /proc/net/tcp and tcp6.

    ``address``: an IP address, None for a listener on all of them.
    """
    places = [row.split()[1:4:2] for table in tables for row in table.splitlines()[1:]]
    return sum(state == _ESTABLISHED and _is_at(local, address, port) for local, state in places)


def _is_at(local: str, address: str | None, port: int) -> bool:
    """``local`` is like ``0100007F:1F40``: the kernel prints reversed words of 4 bytes."""
    host, _, number = local.partition(":")
    if int(number, 16) != port:
        return False
    if address is None:
        return True
    words = (bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8))
    found = ipaddress.ip_address(b"".join(words))
    return (getattr(found, "ipv4_mapped", None) or found) == ipaddress.ip_address(address)


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
    if nginx is None:
        return Use.UNKNOWN
    if nginx.pid is None:
        return Use.NONE
    return Use.SOME if nginx.upstreams is None or router in nginx.upstreams else Use.NONE
