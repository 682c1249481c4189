"""Keeps a note on this node of every main process that runs.

An agent that is killed can't end its units. Whoever cleans up after it, the next agent of the node
or an operator's command, knows from the notes what was its own: by pid and start time, so that a
stranger who was given the pid since is never touched.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

from supervisor import clock
from supervisor.units import scanner

NOTES = "processes"
# SIGKILL acts at once except on a process in an uninterruptible wait (state D).
PROOF_S = 5.0
LOOK_S = 0.01


class Bookkeeper:
    """The notes of one agent, in its node-local directory: a file per unit, ``PID STARTED``."""

    def __init__(self, state_dir: str) -> None:
        self._directory = Path(state_dir, NOTES)
        self._noted: dict[str, int | None] = {}

    def note(self, unit: str, pid: int | None) -> None:
        """The main process of a unit is this one now; None: there is none. A full disk is no
        reason not to run it.
        """
        if self._noted.get(unit) == pid:
            return
        self._noted[unit] = pid
        path = self._directory / unit
        with contextlib.suppress(OSError):
            if pid is None:
                path.unlink()
            else:
                self._directory.mkdir(mode=0o700, exist_ok=True)
                path.write_text(f"{pid} {scanner.started(pid)}")


def end_leftovers(state_dir: Path) -> list[int]:
    """Kills, with all below them, the noted processes of an agent that is gone.

    Call it only when no agent can hold the directory. Returns what survives SIGKILL.
    """
    roots = [root for path in sorted((state_dir / NOTES).glob("*")) if (root := _living(path))]
    until = clock.monotonic() + PROOF_S
    while roots and clock.monotonic() < until:
        from supervisor.units.reaper import kill_tree  # late: most often there is nothing to end

        for root in roots:
            kill_tree(root)
        time.sleep(LOOK_S)  # they are nobody's children here, so nobody tells
        roots = [root for path in (state_dir / NOTES).glob("*") if (root := _living(path))]
    return roots


def clean_up(state_dir: Path) -> list[int]:
    """``end_leftovers``, and removes the directory when nothing is left."""
    left = end_leftovers(state_dir)
    if not left:
        shutil.rmtree(state_dir, ignore_errors=True)
    return left


def _living(path: Path) -> int | None:
    """The pid in a note, if the same process still runs."""
    with contextlib.suppress(OSError, ValueError):
        pid, started = map(int, path.read_text().split())
        if scanner.started(pid) == started and not scanner.is_zombie(pid):
            return pid
    return None
