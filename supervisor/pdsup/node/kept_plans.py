"""Keeps on this node, beside its ledger, the plan that its agent goes by.

The file that an agent was given may be edited while its units run, and wrong for a while, or meant
for another run: that becomes the plan when somebody says so. And the run directory is the user's
as well.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from pdsup import files
from pdsup.errors import SupervisorError
from pdsup.node.run_dir import PLAN_FILE
from pdsup.plan.compile import load
from pdsup.plan.compile.load import Loaded

PLANS = "plans"


def keep(state_dir: Path, loaded: Loaded) -> bool:
    """Notes a plan. False where there is no room for it: the next agent can't know it then."""
    path = _path(state_dir, loaded.digest)
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            files.write_atomically(path, loaded.text, 0o600)
        return True
    return False


def kept(state_dir: Path, digest: str) -> Loaded | None:
    """The plan with this digest; None when it was not kept, or is not what was kept."""
    return _read(_path(state_dir, digest), digest)


def shared(run_dir: Path, digest: str) -> Loaded | None:
    """The plan of the run, which all nodes can read; None while it is another one."""
    return _read(run_dir / PLAN_FILE, digest)


def _read(path: Path, digest: str) -> Loaded | None:
    with contextlib.suppress(SupervisorError):
        found = load.load(path, nodes=None)
        if found.digest == digest:
            return found
    return None


def _path(state_dir: Path, digest: str) -> Path:
    return state_dir / PLANS / f"{digest}.yaml"
