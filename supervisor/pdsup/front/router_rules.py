"""What a router has to be told when a worker is back.

A router goes on trying a worker that is gone, and lets requests hang where a whole node is silent.
A failed request counts against the prefill and the decode that it went to, so the death of a decode
opens the circuit breakers of healthy prefills too. It avoids a worker with an open breaker for up
to a minute after it is back, and one that it waited for too long it never takes in. Its API mends
all that. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pdsup.address import url
from pdsup.plan.model import Plan

_BREAKER = re.compile(r'^smg_worker_cb_state\{[^}]*worker="([^"]+)"[^}]*\} ([0-9.]+)', re.M)
_TYPES: Mapping[str | None, str] = {"prefill": "prefill", "decode": "decode"}


@dataclass(frozen=True, slots=True)
class Target:
    """A worker as a router knows it."""

    unit: str
    url: str
    role: str | None
    bootstrap: int | None

    def addition(self) -> dict[str, Any]:
        """The body of ``POST /workers`` that makes a router take it in."""
        body = {"url": self.url, "worker_type": _TYPES.get(self.role, "regular")}
        return body if self.bootstrap is None else {**body, "bootstrap_port": self.bootstrap}


@dataclass(frozen=True, slots=True)
class Mending:
    """What to ask of a router: workers to take in, and ids whose breakers to close, or to drop."""

    add: tuple[Target, ...]
    close: tuple[str, ...]
    drop: tuple[str, ...] = ()


def targets(plan: Plan, router: str) -> tuple[Target, ...]:
    """The workers that a router of the plan serves."""
    found = []
    for need in plan.by_name[router].needs.units:
        worker = plan.by_name[need.unit]
        if worker.kind == "worker" and "http" in worker.ports:
            where = url(plan.address[worker.node], worker.ports["http"])
            found.append(Target(worker.name, where, worker.role, worker.ports.get("bootstrap")))
    return tuple(found)


def open_breakers(metrics: str) -> frozenset[str]:
    """The URLs whose breaker is not closed, by a router's own metrics."""
    return frozenset(url for url, state in _BREAKER.findall(metrics) if float(state) != 0)


def mend(
    running: Iterable[Target],
    returned: frozenset[str],
    listed: Mapping[str, str],
    broken: frozenset[str] | None,
    gone: Iterable[Target] = (),
) -> Mending:
    """What a router needs to hear.

    ``running``: what it could serve; ``returned``: units among them that were gone meanwhile.
    ``listed``: ids by the URL of each worker it knows. ``broken``: URLs with open breakers, None
    when that can't be told: then all are closed once something returned. ``gone``: workers that
    no request should go to; the last one of its role stays, as it can be no worse than none.
    """
    known = [target for target in running if target.url in listed]
    doubtful = broken if broken is not None else {t.url for t in known if returned}
    return Mending(
        add=tuple(target for target in running if target.url not in listed),
        close=tuple(
            listed[target.url]
            for target in known
            if target.unit in returned or target.url in doubtful
        ),
        drop=tuple(
            listed[target.url]
            for target in gone
            if target.url in listed and target.role in {other.role for other in known}
        ),
    )


def listing(answer: Any) -> dict[str, str] | None:
    """Ids by URL from the answer to ``GET /workers``; None when it is none of a router we know."""
    match answer:
        case {"workers": list(workers)}:
            return {
                url.rstrip("/"): identity
                for worker in workers
                if isinstance(worker, dict)
                for url, identity in ((worker.get("url"), worker.get("id")),)
                if isinstance(url, str) and isinstance(identity, str)
            }
    return None
