"""The node-local directory of an agent: claims, locks and releases it.

Two agents must never run the same node of the same run. The lock in the directory is held by the
process (flock), so it ends with it however that happens. An agent that ends removes the directory
while another may be creating it, so a claim checks that the file it locked still has its name, and
starts over otherwise.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path, PurePath

from pdsup import files
from pdsup.errors import SupervisorError
from pdsup.node import paths
from pdsup.node.temp_dir import temp_dir

# Each retry means that yet another agent ended at the moment when this one started.
CLAIM_ATTEMPTS = 20


def state_root(environ: Mapping[str, str]) -> Path:
    """The root of this user's node-local directories: the first one whose parent exists."""
    roots = paths.state_roots(environ, temp_dir(environ), os.geteuid())
    return next((Path(root) for root in roots if Path(root).parent.is_dir()), Path(roots[-1]))


def claim(root: Path, state_dir: Path, run_dir: Path) -> int:
    """Creates the node-local directory and locks it; returns the descriptor that holds the lock.

    Raises SupervisorError if another agent holds the lock (with its pid), or if the path can't be
    used.
    """
    if (why := unfit_for_socket(state_dir)) is not None:
        raise SupervisorError(f"cannot make a control socket in {state_dir}: {why}")
    try:
        for _ in range(CLAIM_ATTEMPTS):
            lock = _claim(root, state_dir, run_dir)
            if lock is not None:
                return lock
    except OSError as error:
        raise SupervisorError(f"cannot use {state_dir}: {error.strerror}") from None
    raise SupervisorError(f"cannot use {state_dir}: it keeps disappearing")


def unfit_for_socket(state_dir: PurePath) -> str | None:
    """Why there can be no control socket in a node-local directory, or None."""
    length = len(os.fsencode(state_dir / paths.SOCKET))
    if length <= paths.SOCKET_PATH_LIMIT:
        return None
    return (
        f"its path would have {length} bytes and the kernel allows {paths.SOCKET_PATH_LIMIT}; "
        "set XDG_RUNTIME_DIR or TMPDIR to a shorter path, or shorten the node's name"
    )


def holder(state_dir: Path) -> int | None:
    """The pid of the agent that has claimed a node-local directory and lives; None if none does.

    It looks for the open file, because even a lock that is held for a moment would make an agent
    that starts just then refuse to.
    """
    lock = state_dir / paths.LOCK
    with contextlib.suppress(OSError, ValueError):
        pid = int(files.read_regular(lock))
        opened = Path("/proc", str(pid), "fd").iterdir()
        if any(os.readlink(file) == str(lock.resolve()) for file in opened):  # noqa: PTH115
            return pid
    return None


def run_dir_of(state_dir: Path) -> Path:
    """The run directory of an agent, from its node-local one; raises OSError if that is gone."""
    return (state_dir.parent / paths.RUN_LINK).readlink()


def restore(state_dir: Path, run_dir: Path, lock: int) -> bool:
    """Makes the directory, the link to the run directory and the lock again if they were removed;
    returns whether they were. ``lock``: the descriptor that holds the lock, and goes on to.

    Raises OSError, or SupervisorError if another agent has claimed the directory meanwhile.
    """
    made = not state_dir.is_dir()
    _private_dir(state_dir.parents[1])
    for directory in (state_dir.parent, state_dir):
        files.make_way(directory, for_directory=True)
        _private_dir(directory)
    link = state_dir.parent / paths.RUN_LINK
    if not link.is_symlink():
        files.make_way(link)
        link.symlink_to(run_dir)
        made = True
    if not _is_same_file(state_dir / paths.LOCK, lock):
        files.make_way(state_dir / paths.LOCK)
        again = _lock(state_dir)
        os.dup2(again, lock, inheritable=False)
        os.close(again)
        made = True
    return made


def release(state_dir: Path, lock: int) -> None:
    """Removes the node-local directory, and the cluster's if this was its last node."""
    shutil.rmtree(state_dir, ignore_errors=True)
    remove_cluster(state_dir.parent)
    os.close(lock)


def _claim(root: Path, state_dir: Path, run_dir: Path) -> int | None:
    """The lock; None if an agent that ended meanwhile removed the directory or the lock file."""
    try:
        for directory in (root, state_dir.parent, state_dir):
            _private_dir(directory)
        with contextlib.suppress(FileExistsError):
            (state_dir.parent / paths.RUN_LINK).symlink_to(run_dir)
        lock = _lock(state_dir)
    except FileNotFoundError:
        return None
    if _is_same_file(state_dir / paths.LOCK, lock):
        return lock
    os.close(lock)
    return None


def remove_cluster(directory: Path) -> None:
    """Removes the cluster's directory unless it holds another node's, even a brand-new one."""
    link = directory / paths.RUN_LINK
    with contextlib.suppress(OSError):
        if {entry.name for entry in directory.iterdir()} - {paths.RUN_LINK}:
            return
        run_dir = link.readlink()
        link.unlink()
        try:
            directory.rmdir()
        except OSError:
            link.symlink_to(run_dir)


def _private_dir(path: Path) -> None:
    """Creates a directory with mode 0700, or checks the one that exists.

    The temporary directory is open to all users, so another one may have created it first.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise SupervisorError(f"cannot use {path}: it is not a directory")
    if status.st_uid != os.geteuid():
        raise SupervisorError(f"cannot use {path}: it belongs to another user")
    if status.st_mode & 0o077:
        path.chmod(0o700)


def _lock(directory: Path) -> int:
    descriptor = _opened(directory / paths.LOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown yet"
        os.close(descriptor)
        raise SupervisorError(
            f"cannot start an agent for {directory.name}: one is already running, pid {pid}"
        ) from None
    with contextlib.suppress(OSError):  # a full disk: the pid is only for messages
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _opened(lock: Path) -> int:
    """Opens the lock, in the place of anything else: an agent that can't start again and again
    helps nobody.
    """
    flags = os.O_RDWR | os.O_CREAT
    with contextlib.suppress(OSError):
        return files.open_regular(lock, flags, 0o600)
    files.make_way(lock)
    return files.open_regular(lock, flags, 0o600)


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
