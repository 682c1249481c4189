"""What to tell a router when a worker is gone or back.

By itself, a router keeps trying a worker that is gone, and requests to a silent node hang. A failed
request counts against both the prefill and the decode that it went to, so the death of a decode
opens the circuit breakers of healthy prefills as well. The router avoids a worker with an open
breaker for up to a minute after the worker is back, and never adds one that took too long to start.
All of this can be corrected through its API. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdsup.address import url
from pdsup.plan.frontends.known import routes
from pdsup.plan.model import Plan

_BREAKER = re.compile(r'^smg_worker_cb_state\{[^}]*worker="([^"]+)"[^}]*\} ([0-9.]+)', re.M)
_RANK = re.compile(r"@\d+$")
_TYPES: Mapping[str | None, str] = {"prefill": "prefill", "decode": "decode"}


@dataclass(frozen=True, slots=True)
class Target:
    """A worker as a router knows it: ``url`` like ``http://10.0.0.3:30000``.

    ``bootstrap`` is a prefill's bootstrap port, None for other workers.
    """

    unit: str
    url: str
    role: str | None
    bootstrap: int | None

    def addition(self) -> dict[str, Any]:
        """The body of the ``POST /workers`` that adds this worker to a router."""
        body = {"url": self.url, "worker_type": _TYPES.get(self.role, "regular")}
        return body if self.bootstrap is None else {**body, "bootstrap_port": self.bootstrap}


@dataclass(frozen=True, slots=True)
class Mending:
    """What to ask of a router: workers to add, breakers to close, workers to drop (both by id)."""

    add: tuple[Target, ...]
    close: tuple[str, ...]
    drop: tuple[str, ...] = ()


def targets(plan: Plan, router: str) -> tuple[Target, ...]:
    """The workers that a router of the plan sends requests to."""
    workers = []
    for need in plan.by_name[router].needs.units:
        worker = plan.by_name[need.unit]
        if worker.kind == "worker" and "http" in worker.ports:
            where = url(plan.address[worker.node], worker.ports["http"])
            workers.append(Target(worker.name, where, worker.role, worker.ports.get("bootstrap")))
    return tuple(workers)


def open_breakers(metrics: str) -> frozenset[str]:
    """The URLs of workers whose circuit breaker is not closed, from a router's own metrics."""
    return frozenset(url for url, state in _BREAKER.findall(metrics) if float(state) != 0)


def mend(
    running: Iterable[Target],
    returned: frozenset[str],
    listed: Mapping[str, str],
    broken: frozenset[str] | None,
    gone: Iterable[Target] = (),
    known_urls: frozenset[str] | None = None,
) -> Mending:
    """What to ask of a router.

    ``running``: the workers it could use; ``returned``: those of them that had been gone.
    ``listed``: the router's ids by worker URL. ``broken``: URLs with open breakers; None if that
    is unknown, and then every breaker is closed once a worker returned. ``gone``: workers that
    should get no requests; the last one of a role stays listed, as it is no worse than none.
    ``known_urls``: all that the router may list, None for any. A stranger, which somebody has
    added, is dropped: it gets the requests of users.
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
        )
        + tuple(listed[url] for url in strangers(listed, known_urls)),
    )


def known_urls(targets: Iterable[Target], command: Sequence[str]) -> frozenset[str] | None:
    """The URLs that a router may list: of its workers in the plan and in its command.

    None for a command that names none: how that router finds its workers is not known.
    """
    named = {route.url for route in routes(command)}
    return frozenset(named | {target.url for target in targets}) if named else None


def strangers(listed: Iterable[str], known_urls: frozenset[str] | None) -> list[str]:
    """The listed URLs that are not known; ``URL@N`` is a data-parallel rank of a worker."""
    if known_urls is None:
        return []
    return [url for url in listed if _RANK.sub("", url) not in known_urls]


def listing(answer: Any) -> dict[str, str] | None:
    """Ids by URL from the reply to ``GET /workers``; None if it is not from a router we know."""
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
