"""Which run a command is for: the one that the user named, else the obvious one.

Named is the run of ``--run-dir``, else of PDSUP_RUN_DIR, else the run directory in which the
command stands. Else it is the only active run in the current directory or its ``runs/``, where runs
are written by default, else the only one on this machine. Of several a command that only looks
takes the newest, and says so; one that changes something refuses.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pdsup import clock
from pdsup.cli.runs import living
from pdsup.cli.runs.living import Cluster
from pdsup.cli.runs.named import Named, Source, given
from pdsup.errors import NothingThere, WrongUsage
from pdsup.files import open_regular
from pdsup.node.paths import JOURNALS, PLAN_FILE, RUNS, refuse_odd

# A killed agent is back sooner, even on a busy machine, unless it can't start.
RETURN_S = 10.0
# How often to look for an agent while none answers.
LOOK_S = 0.05
PLAN_BYTES = 4 << 10
# The name of a plan as a block table, or as JSON.
PLAN_NAME = r"""(?:^|^\{[^{[]*)["']?name["']?:\s*["']?([\w.-]+)"""


class Run(NamedTuple):
    """The run that a command is for. ``words``: its directory, and where the name came from.

    ``cluster`` has no sockets if no agent of it answers on this machine. ``active``: how many
    active runs there are, if it was not named.
    """

    words: str
    source: Source
    cluster: Cluster
    active: int = 1

    def __str__(self) -> str:
        return f"{plan_name(Path(self.cluster.run_dir))} in {self.words}"


def choose(
    option: str | None,
    purpose: str,
    *,
    looks: bool = False,
    returns_in: float = RETURN_S,
    meanwhile: Callable[[], None] = lambda: None,
) -> Run:
    """The run that a command is for.

    ``purpose``: ``VERB THING``, for messages. ``looks``: whether the command only looks.
    ``returns_in``: how many seconds to wait for an agent that its guardian is restarting;
    ``meanwhile`` is called often during that. Raises NothingThere if there is no such run,
    WrongUsage if several are active and none was named.
    """
    until = clock.monotonic() + returns_in
    run = _choose(option, purpose, looks=looks)
    while _is_returning(run.cluster) and clock.monotonic() < until:
        meanwhile()
        time.sleep(LOOK_S)
        run = _choose(option, purpose, looks=looks)
    return run


def _is_returning(cluster: Cluster) -> bool:
    """Whether an agent of it will answer soon; one that stands still takes its time."""
    silent = not cluster.sockets and living.is_returning(cluster)
    return silent and not living.stopped(cluster)


def _choose(option: str | None, purpose: str, *, looks: bool) -> Run:
    named = given(option) or _inside()
    if named is None:
        return _unnamed(purpose, looks=looks)
    cluster = living.cluster_of(named.path)
    if not cluster.directories:
        _check(named, purpose)
    return Run(str(named), named.source, cluster)


def _unnamed(purpose: str, *, looks: bool) -> Run:
    known = living.known()
    active = [one for one in known if one.sockets] or known
    match [one for one in active if is_near(Path(one.run_dir))] or active:
        case []:
            raise NothingThere(nothing(purpose))
        case [only]:
            source = Source.NEARBY if is_near(Path(only.run_dir)) else Source.MACHINE
            return Run(only.run_dir, source, only, len(active))
        case [*_, newest] if looks:
            return Run(newest.run_dir, Source.NEWEST, newest, len(active))
    from pdsup.cli.runs import listing  # late: rarely needed

    raise WrongUsage(
        f"cannot {purpose}: {len(active)} runs are active; choose one with --run-dir:\n"
        + listing.listed(listing.active(active))
    )


def _inside() -> Named | None:
    """The run directory that is the current directory, or contains it.

    All of it must be of one user, and of this one unless that is root: anybody could make /tmp look
    like a run directory.
    """
    here = _here()
    if here is None:
        return None
    found = next((path for path in (here, *here.parents) if is_run_dir(path)), None)
    refuse_odd(str(found or ""))
    return Named(found, Source.INSIDE) if found and _is_own(found) else None


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return None


def is_run_dir(path: Path) -> bool:
    """Whether a directory looks like that of a run."""
    return (path / PLAN_FILE).is_file() and (path / JOURNALS).is_dir()


def _is_own(run_dir: Path) -> bool:
    owners = {path.stat().st_uid for path in (run_dir, run_dir / PLAN_FILE, run_dir / JOURNALS)}
    return len(owners) == 1 and (os.geteuid() in owners or os.geteuid() == 0)


def plan_name(run_dir: Path) -> str:
    """The name in a run's plan, which is near its beginning; else that of the directory."""
    with contextlib.suppress(OSError):
        file = open_regular(run_dir / PLAN_FILE, os.O_RDONLY)
        with os.fdopen(file, "rb") as opened:
            head = opened.read(PLAN_BYTES)
        if found := re.search(PLAN_NAME, head.decode(errors="replace"), re.MULTILINE):
            return found[1]
    return run_dir.name


def is_near(run_dir: Path) -> bool:
    """Whether a run directory is in the current directory, or in its ``runs/``."""
    here = _here()
    return here is not None and run_dir.parent in (here, here / RUNS)


def _check(named: Named, purpose: str) -> None:
    """Raises NothingThere if what was named is no run directory, with the active runs there are."""
    if (named.path / JOURNALS).is_dir():
        return
    problem = f"{named} is not a run directory"
    if not named.path.exists():
        problem = f"no such directory: {named}"
    from pdsup.cli.runs import listing  # late: rarely needed

    active = living.clusters()
    instead = (
        f"; active on this machine:\n{listing.listed(listing.active(active))}" if active else ""
    )
    raise NothingThere(f"cannot {purpose}: {problem}{instead}")


def nothing(purpose: str) -> str:
    """The message that no run is active, with those that have ended."""
    from pdsup.cli.runs import listing  # late: rarely needed

    ended = listing.ended()
    if not ended:
        return f"cannot {purpose}: no run is active on this machine; pdsup up FILE starts one"
    return (
        f"cannot {purpose}: no run is active on this machine; choose one that has ended with "
        f"--run-dir:\n{listing.listed(ended)}"
    )
