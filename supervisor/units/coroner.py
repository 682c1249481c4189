"""Looks why a run ended: reads its last words and what the kernel counted meanwhile."""

from __future__ import annotations

import re
from pathlib import Path

from supervisor import clock
from supervisor.units import follower
from supervisor.units.diagnosis import Diagnosis, diagnose
from supervisor.units.states import ExitStatus

MOST = 1 << 15  # bytes of output: some 300 lines
MOST_LINES = 200
# Units that start or end together share one look at the kernel's counts.
FRESH_S = 0.05
_KILLS = re.compile(r"^oom_kill (\d+)$", re.M)


class Coroner:
    """One for all units of a node. ``root``: where /proc and /sys are."""

    def __init__(self, root: str = "/") -> None:
        self._root = Path(root)
        self._groups = self._find_groups()
        self._kills = 0
        self._read_at = -clock.FOREVER

    def oom_kills(self) -> int:
        """How many processes the OOM killer has ended so far, in this cgroup or on this node."""
        if clock.monotonic() - self._read_at >= FRESH_S:
            self._kills = sum(map(self._count, self._groups))
            self._read_at = clock.monotonic()
        return self._kills

    def examine(self, status: ExitStatus, path: str, start: int, oom_kills: int) -> Diagnosis:
        """Of a run whose output begins at byte ``start``; ``oom_kills`` as it was when it began."""
        lines = follower.tail(path, start, MOST)[-MOST_LINES:]
        killed = status.signal == "SIGKILL"
        if killed:
            self._read_at = -clock.FOREVER  # it may have been killed since the last look
        return diagnose(status, lines, self.oom_kills() - oom_kills if killed else 0)

    def _find_groups(self) -> tuple[Path, ...]:
        """The counts of this cgroup and of the whole node: a limit hits one or the other."""
        groups = self._root / "sys/fs/cgroup"
        found = [self._root / "proc/vmstat"]
        for line in self._text(self._root / "proc/self/cgroup").splitlines():
            _, kinds, path = line.split(":", 2)
            if not kinds:  # version 2
                found.append(groups / path[1:] / "memory.events")
            elif "memory" in kinds.split(","):
                found.append(groups / "memory" / path[1:] / "memory.oom_control")
        return tuple(found)

    def _count(self, path: Path) -> int:
        found = _KILLS.search(self._text(path))
        return int(found[1]) if found else 0

    def _text(self, path: Path) -> str:
        try:
            return path.read_text()
        except OSError:
            return ""
