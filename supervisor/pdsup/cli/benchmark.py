"""Runs a benchmark on a ready cluster, watches the cluster meanwhile, and gives a verdict."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any

from pdsup import clock
from pdsup.answers.checks import FreshChecks, FreshNo
from pdsup.answers.status import Status
from pdsup.cli import benchmark_rules, client
from pdsup.cli.benchmark_rules import Benchmark
from pdsup.cli.terminal import signals
from pdsup.cli.terminal.say import say
from pdsup.errors import NothingThere, SupervisorError
from pdsup.files import read_regular, write_atomically
from pdsup.journal.file import Journals
from pdsup.journal.incidents import Incident, incidents, ordered
from pdsup.plan.masks import BY_FORM

LOOK_S = 1.0
# For all agents to ask their units; see ``api/queries.py``.
FRESH_S = 75.0
RECORD = "run.json"
# Thousands of benchmarks.
MOST_BYTES = 64 << 20


def recorded(path: Path) -> list[Any]:
    """The benchmarks in a ``run.json``, oldest first; empty if there is none or it is damaged."""
    try:
        last = json.loads(read_regular(path, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(last, dict):
        return []
    earlier = last.pop("earlier", [])
    last.pop("points", None)  # of a sweep the last record has them all
    return [*(earlier if isinstance(earlier, list) else []), last]


class BenchmarkRun:
    """A benchmark on the cluster of a run directory."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._lost: list[Incident] = []
        self._passed_on = _PassedOn()

    def run(
        self,
        command: Sequence[str],
        environ: Mapping[str, str] = MappingProxyType({}),
        *,
        stdout: int | None = None,
        more: Callable[[Benchmark], Mapping[str, Any]] = lambda _: {},
    ) -> Benchmark:
        """Runs ``command`` on this terminal, with ``environ``, PDSUP_URL and PDSUP_RUN_DIR in its
        environment, and records the verdict in ``run.json``, with the fields of ``more``.

        Raises SupervisorError if it can't be started.
        """
        before = self._status()
        if before is None:
            raise NothingThere(f"cannot run {command[0]}: no agent answers for {self._run_dir}")
        facts = {"PDSUP_URL": before.url or "", "PDSUP_RUN_DIR": str(self._run_dir)}
        began = clock.monotonic()
        with signals.handled(self._passed_on.hear):
            process = _start(command, {**facts, **environ}, stdout)
            self._passed_on.begin(process)
            status = self._wait(process)
            ended = clock.monotonic()
            disturbed, at = self._disturbed(before, began, ended)
            benchmark = Benchmark(
                command=command,
                cluster=before.cluster,
                plan=before.plan,
                began=at(began),
                ended=at(ended),
                monotonic=began,
                boot=clock.boot(),
                status=status,
                passed_on=self._passed_on.names,
                incidents=ordered(disturbed),
            )
            self._record(benchmark, more(benchmark))
        return benchmark

    def _disturbed(
        self, before: Status, start: float, end: float
    ) -> tuple[list[Incident], Callable[[float], float]]:
        """What disturbed the benchmark between two moments, in monotonic seconds, and what these
        are on the axis of the incidents.

        Probes notice only after a while that a unit no longer answers, so all of them are asked
        first.
        """
        wrong = self._ask_afresh()
        after = self._look()
        journals = Journals(self._run_dir)
        at = journals.here
        began, ended = at(start), at(end)
        recorded = incidents(journals.news(), began, ended)
        lost = [
            replace(one, began=at(one.began), ended=None if one.ended is None else at(one.ended))
            for one in self._lost
        ]
        if after is not None:
            recorded = benchmark_rules.settled(recorded, after, began, ended)
        found = [*recorded, *benchmark_rules.not_in_journal(lost, recorded)]
        found += benchmark_rules.not_well(wrong, found)
        if after is not None:
            found += benchmark_rules.unrecorded(before, after, found, ended)
        return found, at

    def _ask_afresh(self) -> Sequence[FreshNo]:
        try:
            agent = client.first_agent(client.cluster(str(self._run_dir)))
            answer = client.ask(agent, "/v1/checks?all=1", wait=FRESH_S)
        except NothingThere:  # no agent, which counts as lost, or one of 0.1.0
            return ()
        return client.read(FreshChecks, answer).wrong

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        pidfd = os.pidfd_open(process.pid)
        try:
            while not select.select([pidfd], [], [], LOOK_S)[0]:
                self._look()
        finally:
            os.close(pidfd)
        status = process.wait()
        return status if status >= 0 else 128 - status

    def _look(self) -> Status | None:
        status = self._status()
        self._lost = benchmark_rules.lost_nodes(self._lost, status, clock.monotonic())
        return status

    def _status(self) -> Status | None:
        try:
            return client.status(client.cluster(str(self._run_dir)), every=True)
        except NothingThere:
            return None

    def _record(self, benchmark: Benchmark, more: Mapping[str, Any]) -> None:
        """Writes the benchmark, and ``more`` fields, to ``run.json``, which keeps earlier ones of
        the run below it. Where that is not possible, as on a full disk, the command was not run in
        vain all the same.
        """
        path = self._run_dir / RECORD
        shown = replace(benchmark, command=BY_FORM.command(benchmark.command))
        record = {**benchmark_rules.record(shown), **more, "earlier": recorded(path)}
        text = json.dumps(record, indent=2) + "\n"
        try:
            write_atomically(path, text.encode(), 0o644)
        except OSError as error:
            say(f"pdsup: cannot write {path}: {error.strerror}")


def _start(
    command: Sequence[str], environ: Mapping[str, str], stdout: int | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, env={**os.environ, **environ}, stdout=stdout)
    except OSError as error:
        raise SupervisorError(f"cannot run {command[0]}: {error.strerror}") from None


class _PassedOn:
    """Passes signals that would end this process on to the command, also those that arrive before
    it is started: it ends in order, and its benchmark is recorded. ``names``: of those so far.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._early: list[int] = []
        self._command: subprocess.Popen[bytes] | None = None

    def hear(self, number: int, _: FrameType | None) -> None:
        """Passes on one signal, unless the terminal has sent it to the command as well."""
        if number in signals.OF_TERMINAL and _in_foreground():
            return
        self.names.append(signals.name(number))
        if self._command is None:
            self._early.append(number)
        else:
            self._command.send_signal(number)

    def begin(self, command: subprocess.Popen[bytes]) -> None:
        """Takes the command, once it is started."""
        self._command = command
        for number in self._early:
            command.send_signal(number)


def _in_foreground() -> bool:
    """Whether this process and its children hear the keys of a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
