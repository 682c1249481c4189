"""What the benchmark needs of a supervisor, and what several of them share."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[2]
STORE = ROOT / ".bench"
CHILD = STORE / "child"


@dataclass(frozen=True)
class Unit:
    """One command to keep alive. ``piped``: its output goes through the supervisor's hands.

    ``log``: a file, or for a piped unit of some peers a directory. ``port``: it answers HTTP there,
    and is to be asked every second; 0: it is not.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    piped: bool = False
    port: int = 0


class Peer(Protocol):
    """A supervisor. ``home`` is an empty directory of its own for each run.

    ``asks_at``: the address at which it asks units whether they are well; None: it asks none.
    """

    name: str
    stop_signal: signal.Signals
    asks_at: str | None

    def absent(self) -> bool:
        """Whether it is not on this machine."""

    def pipes(self) -> frozenset[bool]:
        """Which kinds of units (``Unit.piped``) it can have."""

    def configure(self, home: Path, units: Sequence[Unit]) -> None:
        """Writes what it reads at its start."""

    def daemon(self, home: Path) -> list[str]:
        """The command that runs it in the foreground."""

    def environ(self, home: Path) -> Mapping[str, str]:
        """What its commands need in their environment."""

    def status(self, home: Path) -> list[str]:
        """The command that shows the state of every unit."""

    def spread(self) -> Peer:
        """The same with its units on several nodes, if it knows any."""

    def commands(self, home: Path) -> Mapping[str, list[str]]:
        """More commands that are measured, by their kind of samples."""

    def ask(self, home: Path, times: int) -> list[float]:
        """Seconds that each question for all states took over its API; none without one."""


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Seconds of each call, after one that does not count."""
    call()
    found = []
    for _ in range(times):
        begin = time.monotonic()
        call()
        found.append(time.monotonic() - begin)
    return found


class LocalConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        """Called by the base class for a first request, and for one after the other side closed."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(os.fspath(self._path))

    def exchange(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer."""
        self.request(method, path, body, {"Content-Type": "text/xml"} if body else {})
        return self.getresponse().read()


def service(folder: Path, name: str, *lines: str) -> None:
    """A shell script that runit or s6 starts."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / name
    script.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    script.chmod(0o755)
