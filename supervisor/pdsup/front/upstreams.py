"""Keeps nginx's list of routers equal to the routers that are ready.

nginx may run here while its routers are on any node. Three things must not happen. A router must
not leave the list only because its agent is silent, least of all when a new agent has heard of none
yet: so that one starts from the list in nginx.conf, and a listed router of which nothing is heard
is asked from here (``upstream_rules.py`` decides). nginx must not count as ready while its list
differs from the ready routers: clients would get a 503 or hang. And what is reported is what nginx
has been seen to run (``nginx_reload.py``), never what it was asked to.
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import resource
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import aiohttp

from pdsup import clock, files
from pdsup.cluster.gate import Gates
from pdsup.front import nginx_conf, upstream_rules
from pdsup.front.nginx_conf import Reloads, Settings, Upstream
from pdsup.front.nginx_reload import Live, NginxReload
from pdsup.journal.entry import Happening
from pdsup.node.assignment import AssignedUnit, Assignment
from pdsup.plan.frontends.known import admin_paths
from pdsup.units.probes import http
from pdsup.units.probes.health import Yes
from pdsup.units.process.spawn import Spawner
from pdsup.units.runner import Runner

# An nginx worker also needs some descriptors for logs, listening sockets and other workers.
SPARE_DESCRIPTORS = 64
MOST_CONNECTIONS = 65535
MOST_NAMED = 3
# How long a router may take to answer, and how often it is asked, while its agent is silent.
ANSWER_S = 1.0
ASK_EVERY_S = 1.0


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
        self._routers = runner.unit.plan.upstreams
        shared = Path(assignment.place.run_dir, "nginx", "nginx.conf")
        conf = _conf(runner.unit, shared)
        self._listed = _listed(conf, self._routers)
        if self._listed is None and runner.facts.pid is None:
            self._listed = frozenset()
        self._dead: set[str] = set()
        self._silent = asyncio.Event()
        self._reload = NginxReload(
            binary=runner.unit.command[0],
            conf=conf,
            copy=shared,
            settings=_settings(assignment, runner.unit),
            spawner=spawner,
            session=session,
            signal_master=runner.signal,
            on_live=self._now_live,
            wanted=self._listed,
        )

    async def run(self) -> None:
        """Reloads nginx whenever that is due; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reload.run())
            tasks.create_task(self._ask_silent())

    def prepare(self) -> None:
        """Writes nginx's configuration and directories. Raises SupervisorError and OSError."""
        self._reload.prepare()

    def restore(self) -> None:
        """Writes again what was removed of nginx's configuration and directories."""
        self._reload.look_again()

    def react(self) -> None:
        """Takes in whether nginx runs and which routers do, and updates nginx's list."""
        pid = self._runner.facts.pid
        if pid != self._pid:
            self._pid, self._known = pid, None
            self._reload.master_changed()
        look = self._gates.look
        if self._listed is None:
            if not all(self._gates.has_asked(name) for name in self._routers):
                return  # a reload would cut the list down to the routers known so far
            self._listed = frozenset()
        self._listed = upstream_rules.wanted(
            self._plan, self._routers, self._listed, look, self._dead
        )
        self._reload.want(self._listed)
        if upstream_rules.silent(self._listed, look):
            self._silent.set()

    async def _ask_silent(self) -> None:
        """Asks listed routers whose agents are silent, until they are heard again or do not answer
        either; runs until cancelled.
        """
        while True:
            await self._silent.wait()
            self._silent.clear()
            while silent := upstream_rules.silent(self._listed or (), self._gates.look):
                answers = await asyncio.gather(*map(self._answers, silent))
                self._dead = {
                    router.name for router, yes in zip(silent, answers, strict=True) if not yes
                }
                if self._dead:
                    self._on_change()
                await asyncio.sleep(ASK_EVERY_S)
            self._dead = set()

    async def _answers(self, router: Upstream) -> bool:
        """Whether a router is ready, as far as can be seen from here."""
        check = upstream_rules.question(self._plan.by_name[router.name])
        with suppress(OSError, ValueError):  # a TimeoutError is an OSError
            async with asyncio.timeout(ANSWER_S):
                if check is None or check.path is None:
                    await http.connect(router.address, router.port)
                    return True
                most = http.MOST_ANSWER if http.wants_body(check) else 0
                reply = await http.get(router.address, router.port, check.path, most=most)
                return isinstance(http.judge(check, reply), Yes)
        return False

    def unusable(self) -> str | None:
        """Why nginx can't serve clients as it should, or None."""
        if self._live.error:
            return self._live.error
        if self._listed is None:
            return "its list of routers is not known yet"
        if not self._listed:
            return "no router is ready, so it answers 503"
        if self._live.upstreams != frozenset(router.name for router in self._listed):
            return "its list of routers is being changed"
        return None

    def upstreams(self) -> tuple[str, ...] | None:
        """The routers that nginx passes requests to; None while it runs and that is not known."""
        if self._pid is None:
            return ()
        return None if self._live.upstreams is None else tuple(sorted(self._live.upstreams))

    def _now_live(self, live: Live) -> None:
        before, self._live = self._live, live
        self.reloads = replace(self.reloads, upstreams=len(live.upstreams or ()))
        if live.generation is not None:
            known, self._known = self._known, live
            if known and known.generation != live.generation:
                self._took(live.upstreams or frozenset(), known.upstreams or frozenset())
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


def _listed(conf: Path, routers: Sequence[str]) -> frozenset[Upstream] | None:
    """The routers that nginx was last to pass requests to; None if its file is gone."""
    try:
        text = files.read_regular(conf).decode(errors="replace")
    except OSError:
        return None
    return frozenset(each for each in nginx_conf.listed(text) if each.name in routers)


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
