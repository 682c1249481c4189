"""Performs the checks of a probe: HTTP, TCP, command, log line, process tree, gauges."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pdsup.address import endpoint
from pdsup.plan.model import Check, Gauges, Probes, Trial
from pdsup.threads import Turns
from pdsup.times import duration
from pdsup.units.logs.read import Follower
from pdsup.units.probes import gauges, health, http
from pdsup.units.probes.health import Answer, No, Unasked, Yes
from pdsup.units.probes.http import Reply
from pdsup.units.process import proc
from pdsup.units.process.spawn import Spawner
from pdsup.units.process.tree import Identity, Seen

# Errors that mean that this process or node lacks something, and say nothing about the unit.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})
# Finding new processes reads every thread of the unit, so it is done every sixth time only.
SEARCH_EVERY = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One run of a unit, as probes see it. ``log_start``: the byte where its output begins."""

    probes: Probes
    address: str
    ports: Mapping[str, int]
    pid: int
    env: Mapping[str, str]
    log_path: str
    log_start: int
    gpus: tuple[int, ...] = ()


class ProbeCheck:
    """Checks one run. It remembers from check to check what it found in logs and process trees."""

    def __init__(self, subject: Subject, spawner: Spawner) -> None:
        self._subject = subject
        self._spawner = spawner
        self._followers: dict[str, Follower] = {}
        self._heard: set[str] = set()
        self._members: dict[str, dict[int, Seen]] = {}
        self._pids: list[Identity] = []  # as it was when it was last searched
        self._looks = 0
        self._log, self._tree = Turns(), Turns()

    async def ask(self, check: Check, timeout_s: float) -> Answer:
        """Performs a check within ``timeout_s`` seconds; a trial request has its own time limit."""
        if check.gauges is not None:
            answer = await self._ask_gauges(check, check.gauges, timeout_s)
        elif check.log is not None:
            pattern = check.log
            answer = await _read(self._log, lambda: self._search_log(pattern), timeout_s)
        elif check.port is None and not check.command:
            prefix = check.tree or ""
            answer = await _read(self._tree, lambda: self._look_at_tree(prefix), timeout_s)
        else:
            answer = await _bounded(self._ask(check), timeout_s, over_tcp=check.port is not None)
        where = self._where(check)
        match answer:
            case No(detail=detail, final=final) if where:
                return No(f"{where}: {detail}", final)
            case Unasked(detail=detail) if where:
                return Unasked(f"{where}: {detail}")
        return answer

    def _where(self, check: Check) -> str:
        if check.port is not None:
            path = (check.path or "").partition("?")[0]
            return endpoint(self._subject.address, self._subject.ports[check.port]) + path
        return " ".join(check.command)

    async def _ask(self, check: Check) -> Answer:
        if check.port is not None:
            return await self._connect(check, self._subject.ports[check.port])
        return await self._run(check.command)

    async def _connect(self, check: Check, port: int) -> Answer:
        if check.path is None:
            await http.connect(self._subject.address, port)
            return Yes()
        return http.judge(check, await self._get(check, check.path))

    async def _get(self, check: Check, path: str) -> Reply:
        port = self._subject.ports[check.port or ""]
        most = http.MOST_BODY if http.wants_body(check) else 0
        return await http.get(self._subject.address, port, path, most=most)

    async def _ask_gauges(self, check: Check, asked: Gauges, timeout_s: float) -> Answer:
        """Checks gauges, and if they look bad makes a trial request: a circuit breaker stays open
        until a request succeeds, so its gauge alone proves nothing.
        """
        groups: tuple[str, ...] = ()

        async def look() -> Answer:
            nonlocal groups
            got = await self._get(check, check.path or "")
            groups = gauges.exhausted(asked, got.body.decode(errors="replace"))
            return http.judge(check, got)

        answer = await _bounded(look(), timeout_s, over_tcp=True)
        if not groups or not isinstance(answer, Yes):
            return answer
        bad = gauges.sentence(asked, groups)
        if asked.trial is None:
            return No(bad)
        tried = await _bounded(self._try(asked.trial), asked.trial.timeout_s, over_tcp=True)
        if isinstance(tried, No):
            return No(f"{bad}, and a trial request failed: {tried.detail}")
        return tried

    async def _try(self, trial: Trial) -> Answer:
        port = self._subject.ports[trial.port]
        got = await http.post(self._subject.address, port, trial.path, trial.body)
        return Yes() if got.status // 100 == 2 else No(f"HTTP {got.status}")

    async def _run(self, command: tuple[str, ...]) -> Answer:
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            # The probe's own time limit ends it sooner.
            status = await self._spawner.run(command, self._subject.env, nowhere, 1e6)
        finally:
            os.close(nowhere)
        return Yes() if status.code == 0 else No(str(status))

    def _search_log(self, pattern: str) -> Answer:
        follower = self._followers.get(pattern)
        if follower is None:
            follower = Follower(self._subject.log_path, self._subject.log_start)
            self._followers[pattern] = follower
        if pattern not in self._heard and any(
            re.search(pattern, line) for line in follower.lines()
        ):
            self._heard.add(pattern)
        return Yes() if pattern in self._heard else No(f"no line of output matches {pattern} yet")

    def _look_at_tree(self, prefix: str) -> Answer:
        """Checks that processes whose name begins with ``prefix`` live once they were seen, and
        that no process of the tree is stopped.
        """
        members = self._members.setdefault(prefix, {})
        main = self._subject.pid
        if search := not prefix or self._looks % SEARCH_EVERY == 0:
            self._pids = proc.tree(main)
        seen: dict[int, Seen | None] = {pid: proc.seen(pid) for pid in (main, *members)}
        for pid, started in self._pids:
            process = seen[pid] if pid in seen else proc.seen(pid)
            if process and process.started == started:  # its pid was not reused
                seen.setdefault(pid, process)
        if search:
            for pid, _ in self._pids:
                process = seen.get(pid)
                if process and prefix and pid != main and process.name.startswith(prefix[:15]):
                    members[pid] = process
        self._looks += 1
        return health.check_processes(members, seen)


async def _read(turns: Turns, look: Callable[[], Answer], timeout_s: float) -> Answer:
    """Looks at files in a thread. A file system that hangs says nothing about the unit."""
    try:
        return await turns.run(look, timeout_s)
    except TimeoutError:
        return Unasked(f"cannot look within {duration(timeout_s)}: a file system hangs")
    except OSError as error:
        return Unasked(error.strerror or http.cause(error))


async def _bounded(asked: Awaitable[Answer], timeout_s: float, *, over_tcp: bool) -> Answer:
    """Awaits an answer; a timeout or an error becomes an answer too."""
    try:
        async with asyncio.timeout(timeout_s):
            return await asked
    except TimeoutError:
        return No(f"no answer within {duration(timeout_s)}")
    except OSError as error:
        if error.errno in _OURS or not over_tcp:
            return Unasked(error.strerror or http.cause(error))
        return No(http.cause(error))
    except (UnicodeError, ValueError) as error:  # UnicodeError: not a host name
        return No(http.cause(error))
