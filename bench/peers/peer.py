"""The interface of a supervisor for the benchmark, and helpers that several share."""

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
    """A command to keep running. ``piped``: its output goes through the supervisor.

    ``log``: a file; for piped units of some peers a directory. ``port``: where it answers HTTP
    probes, one a second; 0: it is not probed.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    piped: bool = False
    port: int = 0


class Peer(Protocol):
    """A supervisor. ``home`` is a fresh directory for each run.

    ``asks_at``: the address at which it probes units; None: it has no probes.
    """

    name: str
    stop_signal: signal.Signals
    asks_at: str | None

    def absent(self) -> bool:
        """Whether it is not installed on this machine."""

    def pipes(self) -> frozenset[bool]:
        """Which values of ``Unit.piped`` it supports."""

    def configure(self, home: Path, units: Sequence[Unit]) -> None:
        """Writes its configuration."""

    def daemon(self, home: Path) -> list[str]:
        """The command that runs it in the foreground."""

    def environ(self, home: Path) -> Mapping[str, str]:
        """The environment variables of its commands."""

    def status(self, home: Path) -> list[str]:
        """The command that shows the state of every unit."""

    def spread(self) -> Peer:
        """The same supervisor with its units on several nodes, if it can; else itself."""

    def commands(self, home: Path) -> Mapping[str, list[str]]:
        """Other commands to measure, by their kind of samples."""

    def ask(self, home: Path, times: int) -> list[float]:
        """Seconds of each query of all states over its API; empty without an API."""


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Seconds of each call, after a warm-up call."""
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
        """Connects; the base class calls this for the first request and after a disconnect."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(os.fspath(self._path))

    def exchange(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Sends a request; returns the body of the answer."""
        self.request(method, path, body, {"Content-Type": "text/xml"} if body else {})
        return self.getresponse().read()


def service(folder: Path, name: str, *lines: str) -> None:
    """Writes a shell script for runit or s6 to run."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / name
    script.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    script.chmod(0o755)
