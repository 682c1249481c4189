"""Ends processes that fork faster than they can be killed one after the other.

Moved into a cgroup of version 2, whatever they fork from then on is in it too, and the kernel kills
all of it at once (``cgroup.kill``, Linux >= 5.14). Used only when plain kills have not been enough:
to put every unit into a cgroup at its start would cost each start a wait for all CPUs (the kernel
takes a lock for the move that is made for being taken seldom).
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path


class Jailer:
    """One for an agent. ``root``: where /proc is."""

    def __init__(self, root: str = "/") -> None:
        self._own = _own_cgroup(Path(root))
        self._numbers = itertools.count()
        self._jails: list[Path] = []

    def end(self, pids: Iterable[int]) -> bool:
        """Kills processes and all that they fork; False where we may not make a cgroup."""
        if self._own is None:
            return False
        jail = self._own / f"pdsup-{os.getpid()}-{next(self._numbers)}"
        try:
            jail.mkdir()
            self._jails.append(jail)
            for pid in pids:
                with contextlib.suppress(OSError):  # it has just ended
                    (jail / "cgroup.procs").write_text(str(pid))
            (jail / "cgroup.kill").write_text("1")
        except OSError:  # not allowed, or a kernel before 5.14
            self._own = None
        return self._own is not None

    def tidy(self) -> None:
        """Removes the cgroups whose inmates have ended by now."""
        left = []
        for jail in self._jails:
            try:
                jail.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                left.append(jail)
        self._jails = left


def _own_cgroup(root: Path) -> Path | None:
    """The directory of this process's cgroup in the hierarchy of version 2, if that is there."""
    with contextlib.suppress(OSError):
        mounts = (line.split() for line in (root / "proc/self/mountinfo").read_text().splitlines())
        mount = next((words[4] for words in mounts if words[-3] == "cgroup2"), None)
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        path = next((line[3:] for line in lines if line.startswith("0::")), None)
        if mount and path:
            return Path(mount, path.lstrip("/"))
    return None
