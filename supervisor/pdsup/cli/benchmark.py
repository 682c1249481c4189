"""Runs a benchmark on a ready cluster, watches the cluster meanwhile, and gives a verdict."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from pdsup import clock
from pdsup.answers.status import Status
from pdsup.cli import benchmark_rules, client
from pdsup.cli.benchmark_rules import Benchmark
from pdsup.errors import NothingThere, SupervisorError
from pdsup.files import write_atomically
from pdsup.journal.file import Journals
from pdsup.journal.incidents import Incident, incidents, ordered

LOOK_S = 1.0
RECORD = "run.json"


def recorded(path: Path) -> list[Any]:
    """The benchmarks in a ``run.json``, oldest first; empty if there is none or it is damaged."""
    try:
        last = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(last, dict):
        return []
    earlier = last.pop("earlier", [])
    return [*(earlier if isinstance(earlier, list) else []), last]


class BenchmarkRun:
    """A benchmark on the cluster of a run directory."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._lost: list[Incident] = []

    def run(self, command: Sequence[str], *, stdout: int | None = None) -> Benchmark:
        """Runs ``command`` on this terminal, with PDSUP_URL and PDSUP_RUN_DIR in its environment.

        Raises SupervisorError if it can't be started.
        """
        before = self._status()
        if before is None:
            raise NothingThere(f"cannot run {command[0]}: no agent answers for {self._run_dir}")
        began = clock.wall()
        with _signals() as pass_on_to:
            process = self._start(command, before, stdout)
            pass_on_to(process)
            status = self._wait(process)
        ended = clock.wall()
        after = self._look()
        recorded = incidents(Journals(self._run_dir).news(), began, ended)
        disturbed = [*recorded, *benchmark_rules.not_in_journal(self._lost, recorded)]
        if after is not None:
            disturbed += benchmark_rules.unrecorded(before, after, disturbed, ended)
        benchmark = Benchmark(
            command=command,
            cluster=before.cluster,
            plan=before.plan,
            began=began,
            ended=ended,
            status=status,
            incidents=ordered(disturbed),
        )
        self._record(benchmark)
        return benchmark

    def _start(
        self, command: Sequence[str], status: Status, stdout: int | None
    ) -> subprocess.Popen[bytes]:
        facts = {
            "PDSUP_URL": status.url or "",
            "PDSUP_RUN_DIR": str(self._run_dir),
        }
        try:
            return subprocess.Popen(command, env={**os.environ, **facts}, stdout=stdout)
        except OSError as error:
            raise SupervisorError(f"cannot run {command[0]}: {error.strerror}") from None

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
        self._lost = benchmark_rules.lost_nodes(self._lost, status, clock.wall())
        return status

    def _status(self) -> Status | None:
        try:
            return client.status(client.cluster(str(self._run_dir)), every=True)
        except NothingThere:
            return None

    def _record(self, benchmark: Benchmark) -> None:
        """Writes the benchmark to ``run.json``, which keeps earlier ones of the run below it."""
        path = self._run_dir / RECORD
        record = {**benchmark_rules.record(benchmark), "earlier": recorded(path)}
        text = json.dumps(record, indent=2) + "\n"
        try:
            write_atomically(path, text.encode(), 0o644)
        except OSError as error:
            raise SupervisorError(f"cannot write {path}: {error.strerror}") from None


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Passes TERM and HUP on to the command, even those that arrive before it is started. Ctrl-C
    reaches it without us, on the same terminal.

    A signal that was ignored (nohup) stays ignored, and no other becomes so in the command.
    """
    early: list[int] = []
    command: list[subprocess.Popen[bytes]] = []

    def nothing(number: int, _: FrameType | None) -> None:
        pass

    def pass_on(number: int, _: FrameType | None) -> None:
        if command:
            command[0].send_signal(number)
        else:
            early.append(number)

    def pass_on_to(process: subprocess.Popen[bytes]) -> None:
        command.append(process)
        for number in early:
            process.send_signal(number)

    handlers = {signal.SIGINT: nothing, signal.SIGQUIT: nothing}
    handlers |= {signal.SIGTERM: pass_on, signal.SIGHUP: pass_on}
    heard = {n: handler for n, handler in handlers.items() if signal.getsignal(n) != signal.SIG_IGN}
    former = {number: signal.signal(number, handler) for number, handler in heard.items()}
    try:
        yield pass_on_to
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
