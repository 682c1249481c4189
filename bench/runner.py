"""Runs a supervisor with its units, records when each started, and cleans up."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.peers.peer import CHILD, Peer, Unit

LOOK_S = 0.002
LIMIT_S = 120.0
FIRST_PORT = 20000  # below the kernel's ephemeral ports


@dataclass(frozen=True)
class Stamp:
    """The time, in seconds, at which a unit started to run or had written its output."""

    unit: str
    pid: int
    at: float


def compile_child() -> None:
    """Compiles ``child.c`` to ``CHILD``."""
    CHILD.parent.mkdir(exist_ok=True)
    source = str(Path(__file__).with_name("child.c"))
    subprocess.run(["gcc", "-O2", "-static", "-o", str(CHILD), source], check=True)


class Running:
    """A running supervisor. ``began``: the time just before it was started."""

    def __init__(self, peer: Peer, home: Path, stamps: Path, environ: dict[str, str]) -> None:
        self.peer = peer
        self.home = home
        self._stamps = stamps
        self._environ = environ
        self.began = time.monotonic()
        with (home / "daemon.log").open("wb") as log:
            self.daemon = subprocess.Popen(
                peer.daemon(home), env=environ, cwd=home, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def stamps(self, count: int) -> list[Stamp]:
        """All stamps, once there are ``count``; raises RuntimeError if they don't come."""
        deadline = time.monotonic() + LIMIT_S
        while (text := self._stamps.read_text()).count("\n") < count:
            if time.monotonic() > deadline or self.daemon.poll() is not None:
                said = (self.home / "daemon.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.peer.name}: {text.count(chr(10))} of {count}: {said}")
            time.sleep(LOOK_S)
        words = (line.split() for line in text.splitlines())
        return [Stamp(unit, int(pid), int(at) / 1e9) for unit, pid, at in words]

    def overseers(self, units: Iterable[int]) -> list[int]:
        """The supervisor's own processes."""
        return [pid for pid in processes.below(self.daemon.pid) if pid not in set(units)]

    def status(self) -> None:
        """Runs the supervisor's status command."""
        self.command(self.peer.status(self.home))

    def command(self, words: Sequence[str]) -> None:
        """Runs a command and waits for it."""
        subprocess.run(words, env=self._environ, stdout=subprocess.DEVNULL, check=False)

    def stop(self, units: Iterable[int]) -> tuple[float, float]:
        """Stops the supervisor; seconds until all units are gone, and until it is gone itself."""
        own = self.overseers(units)
        waits = _watch(units), _watch(own)
        begin = time.monotonic()
        self.daemon.send_signal(self.peer.stop_signal)
        return _gone(waits[0]) - begin, _gone(waits[1]) - begin


def _watch(pids: Iterable[int]) -> list[int]:
    return [os.pidfd_open(pid) for pid in pids]


def _gone(handles: list[int]) -> float:
    """The time when the last of these processes ended."""
    poll = select.poll()
    left = set(handles)
    for handle in handles:
        poll.register(handle, select.POLLIN)
    deadline = time.monotonic() + LIMIT_S
    while left:
        for handle, _ in poll.poll(1000):
            poll.unregister(handle)
            os.close(handle)
            left.remove(handle)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(left)} processes do not end")
    return time.monotonic()


@contextmanager
def running(
    peer: Peer, count: int, *, piped: bool = False, output: int = 0, asks_at: str | None = None
) -> Iterator[Running]:
    """Starts a supervisor with ``count`` units; kills everything at the end.

    The units write ``output`` bytes each, or with ``asks_at`` answer HTTP at that address.
    """
    mark = f"PDSUP_BENCH={uuid.uuid4().hex}"
    home = Path(tempfile.mkdtemp(prefix="pdsup-bench-"))
    try:
        stamps = home / "stamps"
        stamps.touch()
        (home / "run" / "logs").mkdir(parents=True)
        peer.configure(home, _units(home, stamps, count, piped, output, asks_at))
        name, _, value = mark.partition("=")
        environ = {**os.environ, **peer.environ(home), name: value}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
        yield Running(peer, home, stamps, environ)
    finally:
        processes.end_marked(mark)
        shutil.rmtree(home)


def _units(
    home: Path, stamps: Path, count: int, piped: bool, output: int, asks_at: str | None
) -> Sequence[Unit]:
    logs = home / "run" / "logs"  # where pdsup puts them anyway
    found = []
    for number in range(count):
        name, port = f"unit-{number:03}", FIRST_PORT + number if asks_at else 0
        more = (asks_at, str(port)) if asks_at else (str(output),) if output else ()
        command = (str(CHILD), str(stamps), name, *more)
        found.append(Unit(name, command, logs / f"{name}.out", piped, port))
    return found
