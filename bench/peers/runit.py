"""runit: a process of its own beside every unit, no API."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.peer import Unit, service


class Runit:
    """runsvdir."""

    name = "runit"
    stop_signal = signal.SIGHUP  # with TERM it would leave the units alone
    asks_at: str | None = None

    def absent(self) -> bool:
        """When Debian's package is not installed."""
        return shutil.which("runsvdir") is None

    def pipes(self) -> frozenset[bool]:
        """Through svlogd, or not."""
        return frozenset({False, True})

    def configure(self, home: Path, units: Sequence[Unit]) -> None:
        """A directory for each unit."""
        for unit in units:
            folder = home / "services" / unit.name
            command = " ".join(unit.command)
            if unit.piped:
                unit.log.mkdir(parents=True)
                (unit.log / "config").write_text("s2000000000\n")
                service(folder, "run", f"exec {command} 2>&1")
                service(folder / "log", "run", f"exec svlogd {unit.log}")
            else:
                service(folder, "run", f"exec {command} >>{unit.log} 2>&1")

    def daemon(self, home: Path) -> list[str]:
        """In the foreground."""
        return ["runsvdir", str(home / "services")]

    def environ(self, home: Path) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def status(self, home: Path) -> list[str]:
        """As a user asks."""
        return ["sv", "status", *map(str, (home / "services").iterdir())]

    def spread(self) -> Runit:
        """It knows one machine."""
        return self

    def commands(self, home: Path) -> Mapping[str, list[str]]:
        """None."""
        return {}

    def ask(self, home: Path, times: int) -> list[float]:
        """There is nobody to ask."""
        return []
