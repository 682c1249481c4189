"""Keeps nginx's list of routers equal to the routers that are ready.

nginx may run here while its routers are on any node. Three things must not happen. A new agent must
not reload the nginx that it took over until it has heard of every router: its first few reports
would shrink the list. nginx must not count as ready while its list differs from the ready routers:
clients would get a 503 or hang. And what is reported is what nginx has been seen to run
(``nginx_reload.py``), never what it was asked to.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import aiohttp

from pdsup import clock
from pdsup.cluster.gate import Gates
from pdsup.front.nginx_conf import Reloads, Settings, Upstream
from pdsup.front.nginx_reload import Live, NginxReload
from pdsup.journal.entry import Happening
from pdsup.node.assignment import AssignedUnit, Assignment
from pdsup.plan.frontends.known import admin_paths
from pdsup.units.process.spawn import Spawner
from pdsup.units.public_state import PublicState
from pdsup.units.runner import Runner

# An nginx worker also needs some descriptors for logs, listening sockets and other workers.
SPARE_DESCRIPTORS = 64
MOST_CONNECTIONS = 65535
MOST_NAMED = 3


class Upstreams:
    """The nginx of this node and the routers of the whole plan behind it."""

    def __init__(
        self,
        assignment: Assignment,
        runner: Runner,
        gates: Gates,
        spawner: Spawner,
        session: aiohttp.ClientSession,
        on_change: Callable[[], None],
        tell: Callable[[Happening], None],
    ) -> None:
        """``tell`` records each reload of the running nginx, and each that failed."""
        self._plan = assignment.plan
        self._gates = gates
        self._on_change = on_change
        self._tell = tell
        self._runner = runner
        self._pid: int | None = None
        self._live = Live()
        self._known: Live | None = None  # the last configuration this nginx was seen to run
        self.reloads = Reloads()
        self._wanted: frozenset[str] = frozenset()
        self._new = runner.facts.pid is not None
        self._routers = runner.unit.plan.upstreams
        shared = Path(assignment.place.run_dir, "nginx", "nginx.conf")
        self._reload = NginxReload(
            binary=runner.unit.command[0],
            conf=_conf(runner.unit, shared),
            copy=shared,
            settings=_settings(assignment, runner.unit),
            spawner=spawner,
            session=session,
            signal_master=runner.signal,
            on_live=self._now_live,
        )

    async def run(self) -> None:
        """Reloads nginx whenever that is due; runs until cancelled."""
        await self._reload.run()

    def prepare(self) -> None:
        """Writes nginx's configuration and directories. Raises SupervisorError and OSError."""
        self._reload.prepare()

    def restore(self) -> None:
        """Writes again what was removed of nginx's configuration and directories."""
        self._reload.look_again()

    def react(self) -> None:
        """Takes in whether nginx runs and which routers do, and updates nginx's list."""
        pid = self._runner.facts.pid
        if self._has_not_heard_of_all():
            return  # a reload would cut the list down to the routers known so far
        if pid != self._pid:
            self._pid, self._known = pid, None
            self._reload.master_changed()
        ready = frozenset(
            Upstream(name, self._plan.address[unit.node], unit.ports["http"])
            for name in self._routers
            for unit in (self._plan.by_name[name],)
            if (report := self._gates.look(name)) and report.state is PublicState.RUNNING
        )
        self._wanted = frozenset(upstream.name for upstream in ready)
        self._reload.want(ready)

    def _has_not_heard_of_all(self) -> bool:
        """Whether this agent took over a running nginx and has not heard of every router yet."""
        self._new = self._new and any(not self._gates.has_asked(name) for name in self._routers)
        return self._new

    def unusable(self) -> str | None:
        """Why nginx can't serve clients as it should, or None."""
        if self._live.error:
            return self._live.error
        if not self._wanted:
            return "no router is ready, so it answers 503"
        if self._live.upstreams != self._wanted:
            return "its list of routers is being changed"
        return None

    def upstreams(self) -> tuple[str, ...] | None:
        """The routers that nginx passes requests to; None while it runs and that is not known."""
        if self._pid is not None and self._live == Live():
            return None
        return tuple(sorted(self._live.upstreams))

    def _now_live(self, live: Live) -> None:
        before, self._live = self._live, live
        self.reloads = replace(self.reloads, upstreams=len(live.upstreams))
        if live.generation is not None:
            known, self._known = self._known, live
            if known and known.generation != live.generation:
                self._took(live.upstreams, known.upstreams)
        if live.error is not None and live.error != before.error:
            self._failed(live.error)
        self._on_change()

    def _took(self, now: frozenset[str], before: frozenset[str]) -> None:
        self.reloads = replace(self.reloads, taken=self.reloads.taken + 1)
        joined, left = sorted(now - before), sorted(before - now)
        count = f"{len(now) or 'no'} router{'' if len(now) == 1 else 's'}"
        changes = [
            f"{_few(names)} {word}" for names, word in ((joined, "in"), (left, "out")) if names
        ]
        facts = {"upstreams": sorted(now), "joined": joined, "left": left}
        self._happened("Reloaded", ", ".join((count, *changes)), facts)

    def _failed(self, error: str) -> None:
        self.reloads = replace(self.reloads, failed=self.reloads.failed + 1)
        self._happened("ReloadFailed", error, {})

    def _happened(
        self, event: Literal["Reloaded", "ReloadFailed"], reason: str, facts: Mapping[str, Any]
    ) -> None:
        unit = self._runner.unit.name
        run = self._runner.facts.run
        self._tell(Happening(clock.monotonic(), unit, run, event, reason, facts))


def _conf(unit: AssignedUnit, usual: Path) -> Path:
    """The configuration that nginx is started with: ``-c`` of its command."""
    words = unit.command
    at = next((place for place, word in enumerate(words[:-1]) if word == "-c"), None)
    return usual if at is None else Path(words[at + 1])


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def _settings(assignment: Assignment, unit: AssignedUnit) -> Settings:
    own_only = unit.bind == "address"
    nginx = unit.plan.nginx
    if nginx is None:
        raise AssertionError(f"{unit.name} is of kind nginx without its settings")
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Settings(
        listen=unit.address if own_only else None,
        ipv6=_has_ipv6(),
        port=unit.plan.ports["http"],
        status_address=unit.local_address,
        status_port=unit.plan.ports["status"],
        prefix=nginx.prefix or assignment.place.state_dir,
        user=_user(),
        keepalive_timeout=nginx.keepalive_timeout,
        stream_timeout=nginx.stream_timeout,
        client_max_body_size=nginx.client_max_body_size,
        client_header_size=nginx.client_header_size,
        proxy_buffer_size=nginx.proxy_buffer_size,
        refused_paths=admin_paths() if nginx.refused_paths is None else nginx.refused_paths,
        descriptors=descriptors,
        worker_connections=max(
            SPARE_DESCRIPTORS, min(MOST_CONNECTIONS, descriptors - SPARE_DESCRIPTORS)
        ),
        balance=nginx.balance,
        session_header=nginx.session_affinity_header if nginx.session_affinity else None,
        spares_idle=False,  # until its version is known
    )


def _user() -> tuple[str, str] | None:
    """The user and group for nginx's workers if we are root, else None.

    By default root's nginx runs them as ``nobody``, who can't enter our private directories.
    """
    if os.geteuid() != 0:
        return None
    return pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
