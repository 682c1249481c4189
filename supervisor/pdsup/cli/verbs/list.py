"""``pdsup list``: lists runs."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from pdsup import clock, typed
from pdsup.cli import client, options
from pdsup.cli.runs import listing, living, run_lines
from pdsup.cli.runs.run_lines import RunLine, RunState
from pdsup.cli.screens import progress
from pdsup.errors import NothingThere, SupervisorError

EXAMPLE = "pdsup list /scratch/me/runs"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("directories", nargs="*", metavar="DIR", help="where else to look for runs")
    options.as_json(parser, "print one JSON value instead of lines")


def run(args: argparse.Namespace) -> int:
    """Lists your active runs on this machine, and the other runs in the current directory, in its
    ``runs/``, and beside the active ones: name, state, start, directory; of an active run also how
    many units are ready and the URL for clients.
    """
    others = listing.ended([_there(one) for one in args.directories])
    found = [_with_status(one) for one in (*others, *listing.active(living.clusters()))]
    if args.json:
        print(typed.dumps({"runs": found}, indent=2))
    elif found:
        print("\n".join(run_lines.lines(found, clock.wall())))
    return 0


def _there(directory: str) -> Path:
    """A directory that was given. Raises NothingThere if there is none."""
    if not os.path.isdir(directory):  # noqa: PTH112 (of a name that is too long it says no)
        raise NothingThere(f"cannot list the runs in {directory[:80]}: no such directory")
    return Path(directory)


def _with_status(line: RunLine) -> RunLine:
    """The line of a run, with what its agents say now, if it is active."""
    if line.state is not RunState.ACTIVE:
        return line
    try:
        status = client.status(client.cluster(line.run_dir, returns_in=0.0), every=True)
    except SupervisorError:  # it ends while we look
        return line
    ready = f"ready: {progress.summary(status.units)}"
    return replace(line, ready=ready, url=status.url)
