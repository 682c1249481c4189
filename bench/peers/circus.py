"""circus, with one watcher per unit."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.peer import ROOT, STORE, Unit

BIN = STORE / "venv" / "bin"
HEAD = """\
[circus]
endpoint = ipc://{home}/endpoint
pubsub_endpoint = ipc://{home}/events
"""
WATCHER = """\
[watcher:{name}]
cmd = {program}
args = {arguments}
copy_env = true
max_retry = -1
stdout_stream.class = FileStream
stdout_stream.filename = {log}
stderr_stream.class = FileStream
stderr_stream.filename = {log}
"""
# Its client needs libraries that only its own interpreter has.
ASK = """\
import sys
from bench.peers.peer import timed
from circus.client import CircusClient
client = CircusClient(endpoint=sys.argv[1])
print(*timed(lambda: client.send_message("status"), int(sys.argv[2])))
"""


class Circus:
    """circus, whose commands go over ZeroMQ."""

    name = "circus"
    stop_signal = signal.SIGTERM
    asks_at: str | None = None

    def absent(self) -> bool:
        """Absent unless it is in the benchmark's virtual environment."""
        return not (BIN / "circusd").exists()

    def pipes(self) -> frozenset[bool]:
        """Only pipes: it copies all output."""
        return frozenset({True})

    def configure(self, home: Path, units: Sequence[Unit]) -> None:
        """Writes its configuration file."""
        parts = [HEAD.format(home=home)]
        for unit in units:
            program, *arguments = unit.command
            parts.append(
                WATCHER.format(
                    name=unit.name, program=program, arguments=" ".join(arguments), log=unit.log
                )
            )
        (home / "circus.ini").write_text("".join(parts))

    def daemon(self, home: Path) -> list[str]:
        """circusd, in the foreground."""
        return [str(BIN / "circusd"), str(home / "circus.ini")]

    def environ(self, home: Path) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def status(self, home: Path) -> list[str]:
        """The command of a user."""
        return [str(BIN / "circusctl"), "--endpoint", f"ipc://{home}/endpoint", "status"]

    def spread(self) -> Circus:
        """Itself: it manages one machine."""
        return self

    def commands(self, home: Path) -> Mapping[str, list[str]]:
        """None."""
        return {}

    def ask(self, home: Path, times: int) -> list[float]:
        """Queries it over ZeroMQ."""
        done = subprocess.run(
            [str(BIN / "python"), "-c", ASK, f"ipc://{home}/endpoint", str(times)],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return [float(word) for word in done.stdout.split()]
