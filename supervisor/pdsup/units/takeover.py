"""What an earlier agent left running on this node: whether it lives, and its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from pdsup import clock
from pdsup.units.ledger import Ledger, Note, is_living, read
from pdsup.units.process import proc

# SIGKILL acts at once except on a process in an uninterruptible wait (state D).
PROOF_S = 5.0
LOOK_S = 0.01


def lives(ledger: Ledger) -> bool:
    """Whether anything of the noted runs is left."""
    return bool(_living(list(ledger.notes.values())))


def end(notes: Iterable[Note]) -> list[int]:
    """Kills everything of the noted runs, wherever it went; returns what survives SIGKILL."""
    known = [one for one in notes if one.main or one.tag]
    until = clock.monotonic() + PROOF_S
    while (roots := _living(known)) and clock.monotonic() < until:
        from pdsup.units.process.reap import kill_tree  # late: most often there is nothing to end

        for root in roots:
            kill_tree(root)
        time.sleep(LOOK_S)  # they are nobody's children here, so nobody tells
    return roots


def clean_up(state_dir: Path) -> list[int]:
    """Ends guardian, agent and units, at once; removes the directory when nothing is left."""
    ledger = read(state_dir)
    for process in (ledger.guardian, ledger.agent):
        if process and is_living(process):
            with contextlib.suppress(OSError):
                os.kill(process[0], signal.SIGKILL)
    left = end(ledger.notes.values())
    if not left:
        shutil.rmtree(state_dir, ignore_errors=True)
    return left


def _living(notes: list[Note]) -> list[int]:
    """Main processes that still run, and whatever carries the tag of a noted run."""
    mains = [one.main[0] for one in notes if one.main and is_living(one.main)]
    tags = {one.tag for one in notes if one.tag is not None}
    return mains or [pid for pid in proc.tagged(tags) if not proc.is_zombie(pid)]
