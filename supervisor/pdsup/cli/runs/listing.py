"""The runs of this user, a line each: those active on this machine, and those that have ended.

Ended runs are looked for where runs are written by default, and beside the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pdsup import clock
from pdsup.cli.runs import choice, living, run_lines
from pdsup.cli.runs.choice import plan_name
from pdsup.cli.runs.living import Cluster
from pdsup.cli.runs.named import given
from pdsup.cli.runs.past import past_of
from pdsup.cli.runs.run_lines import RunLine, RunState
from pdsup.node.paths import RUNS

# A message lists at most this many runs; `pdsup list` lists all.
MOST_LISTED = 8


def listed(found: Sequence[RunLine]) -> str:
    """Runs as indented lines, for a message."""
    shown = [f"  {line}" for line in run_lines.lines(found[-MOST_LISTED:], clock.wall())]
    rest = len(found) - len(shown)
    return "\n".join([*shown, *([f"  and {rest} more: pdsup list"] if rest else [])])


def active(clusters: Iterable[Cluster]) -> list[RunLine]:
    """The lines of active runs."""
    return [
        RunLine(
            name=plan_name(Path(one.run_dir)),
            run_dir=one.run_dir,
            state=RunState.ACTIVE if one.sockets else RunState.KILLED,
            began=one.began,
        )
        for one in clusters
    ]


def ended(among: Iterable[Path] = ()) -> list[RunLine]:
    """The lines of the runs that are not among the active ones, the oldest first: in the
    directories ``among``, in the current one and its ``runs/``, and beside the active runs and that
    of PDSUP_RUN_DIR.
    """
    here = {Path(one.run_dir).resolve() for one in living.clusters()}
    known = [*here, *(one.path for one in [given(None)] if one)]
    parents = [*among, Path(), Path(RUNS), *(path.parent for path in known)]
    found = {path.resolve() for parent in parents for path in _run_dirs(parent)}
    lines = [_line(path) for path in found - here]
    return sorted(lines, key=lambda line: (line.began or 0.0, line.run_dir))


def _run_dirs(parent: Path) -> Iterator[Path]:
    """The directory itself, if it is that of a run, and those directly in it."""
    with contextlib.suppress(OSError):
        yield from (path for path in (parent, *parent.iterdir()) if choice.is_run_dir(path))


def _line(run_dir: Path) -> RunLine:
    """The run may be active all the same: another user's, or one of another environment."""
    past = past_of(run_dir, str(run_dir))
    answers = bool(past.places) and bool(living.cluster_of(run_dir).sockets)
    return RunLine(
        name=past.name,
        run_dir=past.run_dir,
        state=RunState.ACTIVE if answers else past.state,
        began=past.began,
        last=past.last,
    )
