"""Keeps a copy of the agent's plan on this node, beside its ledger.

While units run, users may edit the plan's source and the run directory: the file may be invalid for
a while, or meant for another run. It becomes the plan only on a reload, so an agent that takes over
running units reads this copy.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pdsup import files
from pdsup.errors import SupervisorError
from pdsup.node.paths import PLAN_FILE
from pdsup.plan.compile import load
from pdsup.plan.compile.load import Loaded

PLANS = "plans"


def keep(state_dir: Path, loaded: Loaded) -> bool:
    """Keeps a plan. Returns False if it can't be written: then the next agent won't have it."""
    path = _path(state_dir, loaded.digest)
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            files.write_atomically(path, loaded.text, 0o600)
        return True
    return False


def kept(state_dir: Path, digest: str) -> Loaded | None:
    """The kept plan with this digest; None if there is none, or if the file was changed."""
    return _read(_path(state_dir, digest), digest)


def restore(state_dir: Path, loaded: Loaded) -> bool:
    """Keeps a plan again if it was removed; returns whether it was. Raises OSError."""
    path = _path(state_dir, loaded.digest)
    if path.is_file():
        return False
    files.make_way(path.parent, for_directory=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    files.make_way(path)
    files.write_atomically(path, loaded.text, 0o600)
    return True


def parsed(text: bytes, digest: str) -> Loaded | None:
    """The plan in a text; None if it has another digest."""
    with os.fdopen(os.memfd_create("plan"), "wb") as file:
        file.write(text)
        file.flush()
        return _read(Path(f"/proc/self/fd/{file.fileno()}"), digest)


def shared(run_dir: Path, digest: str) -> Loaded | None:
    """The plan in the run directory, which all nodes share; None if it has another digest."""
    return _read(run_dir / PLAN_FILE, digest)


def _read(path: Path, digest: str) -> Loaded | None:
    with contextlib.suppress(SupervisorError):
        if not path.is_file():  # a named pipe would be waited for
            return None
        loaded = load.load(path, nodes=None)
        if loaded.digest == digest:
            return loaded
    return None


def _path(state_dir: Path, digest: str) -> Path:
    return state_dir / PLANS / f"{digest}.yaml"
