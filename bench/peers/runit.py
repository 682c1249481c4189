"""runit: one supervising process per unit, no API."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.peer import Unit, service


class Runit:
    """runsvdir."""

    name = "runit"
    stop_signal = signal.SIGHUP  # on TERM it would leave the units running
    asks_at: str | None = None

    def absent(self) -> bool:
        """Absent unless Debian's package is installed."""
        return shutil.which("runsvdir") is None

    def pipes(self) -> frozenset[bool]:
        """Both: pipes go through svlogd."""
        return frozenset({False, True})

    def configure(self, home: Path, units: Sequence[Unit]) -> None:
        """Writes a directory for each unit."""
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
        """runsvdir, in the foreground."""
        return ["runsvdir", str(home / "services")]

    def environ(self, home: Path) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def status(self, home: Path) -> list[str]:
        """The command of a user."""
        return ["sv", "status", *map(str, (home / "services").iterdir())]

    def spread(self) -> Runit:
        """Itself: it manages one machine."""
        return self

    def commands(self, home: Path) -> Mapping[str, list[str]]:
        """None."""
        return {}

    def ask(self, home: Path, times: int) -> list[float]:
        """Nothing: it has no API."""
        return []
