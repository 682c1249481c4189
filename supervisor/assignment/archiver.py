"""Keeps on this node, beside its ledger, the plan that what runs here was started by.

The file that an agent was given may be edited while its units run: that is for the next run. And
the run directory is the user's as well.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from supervisor.assignment import reader
from supervisor.errors import SupervisorError
from supervisor.plan import loader
from supervisor.plan.loader import Loaded

PLANS = "plans"


def keep(state_dir: Path, loaded: Loaded) -> None:
    """Notes a plan. A full disk is no reason not to run it: then the next agent reads its file."""
    path = _path(state_dir, loaded.digest)
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            reader.write_atomically(path, loaded.text, 0o600)


def kept(state_dir: Path, digest: str) -> Loaded | None:
    """The plan with this digest; None when it was not kept, or is not what was kept."""
    with contextlib.suppress(SupervisorError):
        found = loader.load(_path(state_dir, digest), nodes=None)
        if found.digest == digest:
            return found
    return None


def _path(state_dir: Path, digest: str) -> Path:
    return state_dir / PLANS / f"{digest}.yaml"
