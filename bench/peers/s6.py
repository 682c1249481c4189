"""s6: one supervising process per unit, no API."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.peer import Unit, service


class S6:
    """s6-svscan."""

    name = "s6"
    stop_signal = signal.SIGTERM
    asks_at: str | None = None

    def absent(self) -> bool:
        """Absent unless Debian's package is installed."""
        return shutil.which("s6-svscan") is None

    def pipes(self) -> frozenset[bool]:
        """Both: pipes go through s6-log."""
        return frozenset({False, True})

    def configure(self, home: Path, units: Sequence[Unit]) -> None:
        """Writes a directory for each unit."""
        for unit in units:
            folder = home / "services" / unit.name
            command = " ".join(unit.command)
            if unit.piped:
                service(folder, "run", f"exec {command} 2>&1")
                service(folder / "log", "run", f"exec s6-log s268435455 n9 {unit.log}")
            else:
                service(folder, "run", f"exec {command} >>{unit.log} 2>&1")

    def daemon(self, home: Path) -> list[str]:
        """s6-svscan, in the foreground."""
        return ["s6-svscan", "-c", "1000", str(home / "services")]

    def environ(self, home: Path) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def status(self, home: Path) -> list[str]:
        """The command of a user, in a loop: it shows one unit at a time."""
        show = 'for unit in "$1"/*/; do s6-svstat "$unit"; done'
        return ["/bin/sh", "-c", show, "status", str(home / "services")]

    def spread(self) -> S6:
        """Itself: it manages one machine."""
        return self

    def commands(self, home: Path) -> Mapping[str, list[str]]:
        """None."""
        return {}

    def ask(self, home: Path, times: int) -> list[float]:
        """Nothing: it has no API."""
        return []
