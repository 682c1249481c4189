"""Which node-local directories a command may trust, and who may change a file.

The directory for temporary files is open to all users, and a run directory may be writable for a
group. What lies in a directory that somebody else made, or may change, could name any process to
be killed and any file to be shown.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection
from pathlib import Path

# Of files that a network file system hides from root.
NOBODY = 65534


def trusted_users(run_dir: Path | None = None) -> frozenset[int]:
    """The users whose agents a command of this user may talk to: itself; for root also the owner
    of a run directory that it has named.
    """
    own = os.geteuid()
    if own == 0 and run_dir is not None:
        with contextlib.suppress(OSError):
            return frozenset({own, run_dir.stat().st_uid})
    return frozenset({own})


def is_trusted(state_dir: Path, users: Collection[int]) -> bool:
    """Whether an agent's directory, with the two above it, belongs to one of these users."""
    return all(is_private(path, users) for path in (state_dir, *state_dir.parents[:2]))


def risk(path: Path) -> str:
    """What lets other users change a file, or a directory; "" if nothing does. May block."""
    with contextlib.suppress(OSError):
        own = (os.geteuid(), 0) if os.geteuid() else (0, NOBODY)
        owner = path.stat().st_uid
        return writers(path) if owner in own else f"belongs to user {owner}"
    return ""


def writers(path: Path) -> str:
    """Who else than its owner may write to a file or directory; "" for nobody. May block."""
    with contextlib.suppress(OSError):
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return ""  # a pipe that a shell has made, for instance
        if status.st_mode & stat.S_IWOTH:
            return "every user may write to it"
        # A group with the number of the user is the user's own: Debian and others make one each.
        if status.st_mode & stat.S_IWGRP and status.st_gid != status.st_uid:
            return f"group {status.st_gid} may write to it"
    return ""


def is_private(path: Path, users: Collection[int]) -> bool:
    """Whether a path is a real directory of one of these users that nobody else may change."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        return (
            stat.S_ISDIR(status.st_mode)
            and status.st_uid in users
            and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        )
    return False
