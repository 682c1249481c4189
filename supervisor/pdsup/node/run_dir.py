"""The run directory, which all agents of a run share: its plan, the plan's origin, its token.

All agents prepare it at once, in any order, on a shared file system, while users may edit it. So
files are replaced as a whole, a token is created once for all, and a plan is never lost: the one
that is replaced is kept beside it under a name made of its digest, so that agents that do the same
at once write the same file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pdsup.errors import SupervisorError
from pdsup.files import (
    create_once,
    make_directory,
    make_way,
    open_regular,
    read_regular,
    write_atomically,
    write_if_different,
)
from pdsup.node import origin as origins
from pdsup.node import ownership, signatures
from pdsup.node.origin import Origin
from pdsup.node.paths import AGENTS, JOURNALS, PLAN_FILE, RUNS

if TYPE_CHECKING:
    from pdsup.plan.compile.load import Loaded
    from pdsup.plan.model import Hook

TOKEN_FILE = "token"  # noqa: S105  # the name of a file
VIEW_FILE = "view-token"
TOKEN_BYTES, MOST_TOKEN_BYTES = 32, 4096
DIRECTORIES = ("logs", JOURNALS, "nginx", AGENTS)
# The mode of what holds no secret; the umask may take some of it away.
READABLE = 0o644
OWN_DIRECTORIES = ("logs", "evidence", "nginx")
_OWN = re.compile(r"(plan(\..*)?\.yaml|origin(\..*)?\.json|run\.json|(view-)?token)")


def default_run_dir(name: str, environ: Mapping[str, str]) -> Path:
    """The path ``runs/NAME-JOBID``, or ``runs/NAME-local`` outside a Slurm job. Relative."""
    return Path(RUNS) / f"{name}-{environ.get('SLURM_JOB_ID', 'local')}"


def prepare(
    run_dir: Path,
    text: bytes,
    origin: Origin | None = None,
    *,
    resumed: bool = False,
    token: str = "",
    mode: int = READABLE,
) -> str:
    """Creates the run directory and writes the plan to ``plan.yaml``; returns the run's token.

    Every agent of a run calls it, in any order and at the same time. A different plan found there
    is kept beside the new one; in a run that is ``resumed`` it stays in place, since a user has
    edited it. ``origin``: what a reload reads again; by default the plan itself. ``token``: what
    the run's token is known to be, if its file was removed. ``mode``: that of the plan, and of its
    origin, whose options may be as secret. Raises SupervisorError if the directory
    can't be used.
    """
    try:
        for name in DIRECTORIES:
            make_directory(run_dir / name)
        if not (resumed and (run_dir / PLAN_FILE).exists()):
            _place_plan(run_dir, text, mode)
        if origin is not None and Path(origin.file) != run_dir / PLAN_FILE:
            write_if_different(run_dir / origins.FILE, origins.write(origin), mode)
        token = _token(run_dir, token)
        write_if_different(run_dir / VIEW_FILE, signatures.view_token(token).encode(), 0o600)
        return token
    except OSError as error:
        raise SupervisorError(f"cannot use run directory {run_dir}: {error.strerror}") from error


def missing(run_dir: Path) -> bool:
    """Whether something that ``prepare`` makes is not there. May block."""
    files = (PLAN_FILE, TOKEN_FILE, VIEW_FILE)
    return not (
        all((run_dir / name).is_dir() for name in DIRECTORIES)
        and all((run_dir / name).is_file() for name in files)
    )


def restore(
    run_dir: Path, text: bytes, token: str, origin: Origin | None, mode: int = READABLE
) -> None:
    """Makes again what was removed, with the plan and the token that an agent has in memory.

    Raises SupervisorError if it can't be written. May block.
    """
    try:
        for name in DIRECTORIES:
            make_way(run_dir / name, for_directory=True)
        for name in (PLAN_FILE, TOKEN_FILE, VIEW_FILE):
            make_way(run_dir / name)
    except OSError as error:
        raise SupervisorError(f"cannot use run directory {run_dir}: {error.strerror}") from error
    lacks_origin = not (run_dir / origins.FILE).exists()
    origin = origin if lacks_origin else None
    prepare(run_dir, text, origin, resumed=True, token=token, mode=mode)


def origin_of(run_dir: Path) -> Origin:
    """The origin of a run's plan: its own plan file if no other is recorded."""
    with contextlib.suppress(OSError):
        if origin := origins.read(read_regular(run_dir / origins.FILE, origins.MOST_BYTES)):
            return origin
    return Origin(file=str(run_dir / PLAN_FILE))


def replace_plan(run_dir: Path, text: bytes, origin: Origin, mode: int = READABLE) -> None:
    """Makes another plan the run's, also for agents that have not loaded it yet.

    The current one is kept beside it. Raises SupervisorError if it can't be written.
    """
    try:
        _set_aside(run_dir, text)
        write_if_different(run_dir / origins.FILE, origins.write(origin), mode)
        _place_plan(run_dir, text, mode)
    except OSError as error:
        raise SupervisorError(f"cannot write {run_dir / PLAN_FILE}: {error.strerror}") from None


def plan_of(run_dir: Path) -> Loaded:
    """The plan of a run. Raises SupervisorError if there is none that can be read: what is in its
    place, such as a named pipe, is not waited for.
    """
    from pdsup.plan.compile import load  # late: imports a YAML parser

    path = run_dir / PLAN_FILE
    try:
        os.close(open_regular(path, os.O_RDONLY))
    except OSError as error:
        raise SupervisorError(f"cannot read the plan {path}: {error.strerror}") from None
    return load.load(path, nodes=None)


def plan_digest(run_dir: Path) -> str:
    """The SHA-256 of the plan in a run directory, in hex; "" if there is no plan."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(read_regular(run_dir / PLAN_FILE)).hexdigest()
    return ""


def refuse_own_file(out: Path, purpose: str, *, but: str = "") -> None:
    """Raises SupervisorError if a command's output would replace a file that a run needs.

    ``but``: the name of the one file that it may replace.
    """
    path = out.resolve()
    for run_dir in path.parents:
        if not (run_dir / "events").is_dir() or not (run_dir / PLAN_FILE).exists():
            continue
        place, *below = path.relative_to(run_dir).parts
        own = place == "events" or (place in OWN_DIRECTORIES and path.exists())
        if own if below else _OWN.fullmatch(place) and place != but:
            raise SupervisorError(
                f"cannot {purpose} to {out}: it is a file of the run in {run_dir}; give another one"
            )


def token_of(run_dir: Path) -> str:
    """The token of a run; "" if there is none that can be used."""
    with contextlib.suppress(OSError, SupervisorError):
        return _read_token(run_dir / TOKEN_FILE)
    return ""


def put_back(run_dir: Path, digest: str) -> None:
    """Restores the plan with this digest, if it was kept when another one replaced it.

    Raises SupervisorError if it can't be written.
    """
    kept, origin = _beside(run_dir, digest)
    with contextlib.suppress(OSError):
        text = read_regular(kept)
        if hashlib.sha256(text).hexdigest() == digest:
            source = (
                origins.read(read_regular(origin, origins.MOST_BYTES)) if origin.exists() else None
            )
            source = source or Origin(file=str(run_dir / PLAN_FILE))
            replace_plan(run_dir, text, source, _mode(kept))


def _place_plan(run_dir: Path, text: bytes, mode: int) -> None:
    _set_aside(run_dir, text)
    write_if_different(run_dir / PLAN_FILE, text, mode)


def _set_aside(run_dir: Path, text: bytes) -> None:
    """Keeps the current plan and its origin, unless the plan is ``text``."""
    with contextlib.suppress(FileNotFoundError):
        old = read_regular(run_dir / PLAN_FILE)
        if old != text:
            plan, origin = _beside(run_dir, hashlib.sha256(old).hexdigest())
            mode = _mode(run_dir / PLAN_FILE)
            write_atomically(plan, old, mode)
            write_atomically(origin, read_regular(run_dir / origins.FILE), mode)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) & READABLE


def _beside(run_dir: Path, digest: str) -> tuple[Path, Path]:
    return run_dir / f"plan.{digest[:10]}.yaml", run_dir / f"origin.{digest[:10]}.json"


def _token(run_dir: Path, known: str) -> str:
    path = run_dir / TOKEN_FILE
    if not path.exists():
        create_once(path, (known or signatures.made_of(secrets.token_hex(TOKEN_BYTES))).encode())
    return _read_token(path)


def _read_token(path: Path) -> str:
    """Raises OSError, and SupervisorError if others could know the token."""

    def unusable(why: str) -> SupervisorError:
        return SupervisorError(f"cannot use token {path}: it {why}; delete it to make one")

    if path.is_symlink():
        raise unusable("is a symbolic link")
    with os.fdopen(open_regular(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        status, text = os.fstat(file.fileno()), file.read(MOST_TOKEN_BYTES + 1)
    # Where root's files belong to nobody (NFS), the owner of the directory has made it.
    if status.st_uid not in (os.geteuid(), 0, path.parent.stat().st_uid):
        raise unusable("belongs to another user")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise unusable("is not private (chmod 600), so that others may know it")
    if len(text) > MOST_TOKEN_BYTES:
        raise unusable("is too long")
    token = text.decode(errors="replace").strip()
    # An empty or short token would silently mean "no authentication".
    if len(token) < TOKEN_BYTES:
        raise unusable("is too short")
    return token


# -- what others can change -----------------------------------------------------------------------

ALLOW = "--allow-writable"


def refuse_writable(purpose: str, run_dir: Path | None, file: Path, hooks: Iterable[Hook]) -> None:
    """Raises SupervisorError if others can choose what a run runs: if the run directory is not the
    user's alone, or if others than its owner may write to the recipe or plan, or to a program of a
    hook. To take a recipe that somebody else owns is the user's choice. May block.
    """
    found = {run_dir: ownership.risk(run_dir)} if run_dir else {}
    found |= {path: ownership.writers(path) for path in (file, *_programs(hooks))}
    for path, cause in found.items():
        if cause:
            raise SupervisorError(
                f"cannot {purpose}: others can choose what it runs, since {path}: {cause}; "
                f"chmod go-w {path}, or accept that with {ALLOW}"
            )


def risks(run_dir: Path, file: Path, hooks: Iterable[Hook]) -> dict[Path, str]:
    """What lets others choose what a run runs, by path. May block."""
    found = {path: ownership.risk(path) for path in (run_dir, file, *_programs(hooks))}
    return {path: cause for path, cause in found.items() if cause}


def _programs(hooks: Iterable[Hook]) -> list[Path]:
    words = [word for hook in hooks for word in hook.command if word.startswith("/")]
    return [Path(word) for word in words if os.access(word, os.X_OK)]
