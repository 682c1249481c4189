"""Reads and prepares what all agents of a run share: the run directory, the plan, the token."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from supervisor.assignment import directories, viewing
from supervisor.assignment import origin as origins
from supervisor.assignment.origin import Origin
from supervisor.errors import SupervisorError

PLAN_FILE = "plan.yaml"
LOCK = "lock"
VIEW_FILE = "view-token"
TOKEN_BYTES = 32
# Each one more means that yet another agent ended in the moment in which this one began.
CLAIM_ATTEMPTS = 20


def default_run_dir(name: str, environ: Mapping[str, str]) -> Path:
    """``runs/NAME-JOBID`` under the working directory; without a Slurm job ``runs/NAME-local``."""
    return Path("runs") / f"{name}-{environ.get('SLURM_JOB_ID', 'local')}"


def prepare(
    run_dir: Path, text: bytes, origin: Origin | None = None, *, resumed: bool = False
) -> str:
    """Makes the run directory with the plan's bytes in ``plan.yaml``; returns the run's token.

    Every agent of a run calls it, in any order and at once. A different plan that lies there is
    kept beside the new one, never lost; in a run that is ``resumed`` it stays, since somebody has
    edited it meanwhile. ``origin``: what a reload reads again; without one, the plan itself. Raises
    SupervisorError when the directory can't be used.
    """
    try:
        for name in ("logs", "events", "nginx"):
            (run_dir / name).mkdir(parents=True, exist_ok=True)
        if not (resumed and (run_dir / PLAN_FILE).exists()):
            _place_plan(run_dir, text)
        if origin is not None and Path(origin.file) != run_dir / PLAN_FILE:
            write_atomically(run_dir / origins.FILE, origins.write(origin), 0o644)
        token = _token(run_dir)
        write_atomically(run_dir / VIEW_FILE, viewing.view_token(token).encode(), 0o600)
        return token
    except OSError as error:
        raise SupervisorError(f"cannot use run directory {run_dir}: {error.strerror}") from error


def origin_of(run_dir: Path) -> Origin:
    """What the plan of a run was made of: its own plan file where nothing else is known."""
    with contextlib.suppress(OSError):
        if found := origins.read((run_dir / origins.FILE).read_bytes()):
            return found
    return Origin(file=str(run_dir / PLAN_FILE))


def replace_plan(run_dir: Path, text: bytes, origin: Origin) -> None:
    """Makes another plan that of the run, also for agents that are still to hear of it.

    The one that lies there is kept beside it. Raises SupervisorError when it can't be written.
    """
    try:
        _set_aside(run_dir, text)
        write_atomically(run_dir / origins.FILE, origins.write(origin), 0o644)
        _place_plan(run_dir, text)
    except OSError as error:
        raise SupervisorError(f"cannot write {run_dir / PLAN_FILE}: {error.strerror}") from None


def plan_digest(run_dir: Path) -> str:
    """Of the plan that lies in a run directory; "" without one."""
    with contextlib.suppress(OSError):
        return hashlib.sha256((run_dir / PLAN_FILE).read_bytes()).hexdigest()
    return ""


def put_back(run_dir: Path, digest: str) -> None:
    """Makes the plan with this digest that of the run again, if it was kept beside another one.

    Raises SupervisorError when it can't be written.
    """
    kept, origin = _beside(run_dir, digest)
    with contextlib.suppress(OSError):
        text = kept.read_bytes()
        if hashlib.sha256(text).hexdigest() == digest:
            found = origins.read(origin.read_bytes()) if origin.exists() else None
            replace_plan(run_dir, text, found or Origin(file=str(run_dir / PLAN_FILE)))


def state_root(environ: Mapping[str, str]) -> Path:
    """The directory for everything node-local of this user: the first whose parent exists."""
    roots = directories.state_roots(environ, tempfile.gettempdir(), os.geteuid())
    return next((Path(root) for root in roots if Path(root).parent.is_dir()), Path(roots[-1]))


def claim(root: Path, state_dir: Path, run_dir: Path) -> int:
    """Makes the node-local directory and locks it for one agent; the lock ends with the process.

    Raises SupervisorError when another agent, which is named, holds it, or the path can't be used.
    """
    if len(os.fsencode(state_dir / directories.SOCKET)) > directories.SOCKET_PATH_LIMIT:
        raise SupervisorError(
            f"cannot make a control socket in {state_dir}: the path is too long for the kernel; "
            "set XDG_RUNTIME_DIR to a shorter one"
        )
    try:
        for _ in range(CLAIM_ATTEMPTS):
            lock = _claim(root, state_dir, run_dir)
            if lock is not None:
                return lock
    except OSError as error:
        raise SupervisorError(f"cannot use {state_dir}: {error.strerror}") from None
    raise SupervisorError(f"cannot use {state_dir}: it vanishes again and again")


def run_dir_of(state_dir: Path) -> Path:
    """The run directory of an agent, by its node-local one; raises OSError when that is gone."""
    return (state_dir.parent / directories.RUN_LINK).readlink()


def release(state_dir: Path, lock: int) -> None:
    """Removes the node-local directory, and the cluster's when this was its last node."""
    shutil.rmtree(state_dir, ignore_errors=True)
    remove_cluster(state_dir.parent)
    os.close(lock)


def _claim(root: Path, state_dir: Path, run_dir: Path) -> int | None:
    """The lock; None when an agent that ended meanwhile removed what was made or found here."""
    try:
        for directory in (root, state_dir.parent, state_dir):
            _private_dir(directory)
        with contextlib.suppress(FileExistsError):
            (state_dir.parent / directories.RUN_LINK).symlink_to(run_dir)
        lock = _lock(state_dir)
    except FileNotFoundError:
        return None
    if _is_same_file(state_dir / LOCK, lock):
        return lock
    os.close(lock)
    return None


def remove_cluster(directory: Path) -> None:
    """Removes the directory unless another node's is in it, also one made at this moment."""
    link = directory / directories.RUN_LINK
    with contextlib.suppress(OSError):
        if {entry.name for entry in directory.iterdir()} - {directories.RUN_LINK}:
            return
        run_dir = link.readlink()
        link.unlink()
        try:
            directory.rmdir()
        except OSError:
            link.symlink_to(run_dir)


def _private_dir(path: Path) -> None:
    """The temporary directory is open to all: another user may have put something there first."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700, parents=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise SupervisorError(f"cannot use {path}: it is no directory")
    if found.st_uid != os.geteuid():
        raise SupervisorError(f"cannot use {path}: it belongs to another user")
    if found.st_mode & 0o077:
        path.chmod(0o700)


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 20).decode().strip() or "unknown yet"
        os.close(descriptor)
        raise SupervisorError(
            f"cannot start an agent for {directory.name}: one runs already, pid {pid}"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _place_plan(run_dir: Path, text: bytes) -> None:
    _set_aside(run_dir, text)
    plan = run_dir / PLAN_FILE
    if not (plan.exists() and plan.read_bytes() == text):
        write_atomically(plan, text, 0o644)


def _set_aside(run_dir: Path, text: bytes) -> None:
    """Keeps the plan that lies there, if it is not the one with ``text``, and what it was made of.

    Named for what is in it, so that many agents that do this at once do the same.
    """
    with contextlib.suppress(FileNotFoundError):
        old = (run_dir / PLAN_FILE).read_bytes()
        if old != text:
            plan, origin = _beside(run_dir, hashlib.sha256(old).hexdigest())
            write_atomically(plan, old, 0o644)
            write_atomically(origin, (run_dir / origins.FILE).read_bytes(), 0o644)


def _beside(run_dir: Path, digest: str) -> tuple[Path, Path]:
    return run_dir / f"plan.{digest[:10]}.yaml", run_dir / f"origin.{digest[:10]}.json"


def _token(run_dir: Path) -> str:
    path = run_dir / "token"
    if not path.exists():
        _create_once(path, secrets.token_hex(TOKEN_BYTES).encode())
    token = path.read_text(errors="replace").strip()
    # An empty or short token would mean "no authentication" without anyone noticing.
    if len(token) < TOKEN_BYTES:
        raise SupervisorError(f"cannot use token {path}: it is too short; delete it to make one")
    return token


def _create_once(path: Path, text: bytes) -> None:
    """Whoever links first wins: a link is atomic on every shared file system, O_EXCL is not."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        Path(path).hardlink_to(aside)
    except FileExistsError:
        pass
    finally:
        Path(aside).unlink()


def write_atomically(path: Path, text: bytes, mode: int) -> None:
    """Readers see the old file or the new one, never a part."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(text)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink()
        raise
