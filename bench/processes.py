"""Reads /proc about the processes of a run, and ends them."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")


def below(root: int) -> list[int]:
    """``root`` and all its descendants."""
    children = defaultdict(list)
    for pid in _all():
        if (parent := _parent(pid)) is not None:
            children[parent].append(pid)
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def _all() -> list[int]:
    return [int(entry) for entry in os.listdir(PROC) if entry.isdigit()]  # noqa: PTH208  # names only


def _parent(pid: int) -> int | None:
    try:
        return int(
            (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
        )
    except OSError:
        return None


def busy(pids: Iterable[int]) -> float:
    """Seconds of CPU that processes have used so far, to the nanosecond."""
    return sum(_busy(task) for pid in pids for task in (PROC / str(pid) / "task").glob("*")) / 1e9


def _busy(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except OSError:
        return 0


def resident(pid: int) -> int:
    """Resident memory of a process in bytes, including shared pages."""
    pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def proportional(pids: Iterable[int]) -> int:
    """Memory of all processes in bytes; shared pages count once."""
    kilobytes = 0
    for pid in pids:
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            kilobytes += int(line.split()[1]) if line.startswith("Pss:") else 0
    return kilobytes << 10


def end_marked(mark: str, within: float = 10.0) -> None:
    """Kills every process with ``mark`` in its environment until none is left.

    Raises TimeoutError after ``within`` seconds.
    """
    deadline = time.monotonic() + within
    while found := [pid for pid in _all() if pid != os.getpid() and _has(pid, mark)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"cannot kill {found}: they survive SIGKILL")
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.01)


def _has(pid: int, mark: str) -> bool:
    try:
        return mark.encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
