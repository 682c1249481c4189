"""``pdsup status``: the table."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pdsup import clock, typed
from pdsup.answers.status import Status
from pdsup.cli import client, options
from pdsup.cli.client import Look
from pdsup.cli.screens import progress
from pdsup.cli.screens.status import table
from pdsup.cli.terminal import fit
from pdsup.errors import NothingThere
from pdsup.units.public_state import PublicState

# A change is shown at once, but not more often than that.
LEAST_S = 0.1
EXAMPLE = "pdsup status --all 'decode-*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which units, of which nodes."""
    options.units(parser)
    parser.add_argument(
        "--all", action="store_true", help="the whole cluster (default: the agents of this machine)"
    )
    parser.add_argument(
        "--watch", action="store_true", help="a live view, what needs attention first"
    )
    options.as_json(parser, "one JSON value instead of the table")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """0: all of them RUNNING or EXITED with 0; 3: some are not. With ``--watch`` it goes on until
    Ctrl-C; where stdout is no terminal it prints the table again, or one line of JSON, each time.
    """
    if args.watch:
        return _watch(args)
    found = client.status(client.cluster(args.run_dir, "show the status"), every=args.all)
    shown, unnamed = progress.chosen(found, args.units)
    if unnamed:
        raise NothingThere(progress.no_such("show", unnamed, found))
    if args.json:
        print(typed.dumps(shown, indent=2))
    else:
        colour, width = fit.is_coloured(sys.stdout), fit.width(sys.stdout)
        print("\n".join(table(shown.nodes, colour=colour, width=width)))
    good = all(u.state is PublicState.RUNNING or u.ended_well for u in shown.units)
    return 0 if good else 3


def _watch(args: argparse.Namespace) -> int:
    watched = StatusWatch(args.run_dir, args.units, every=args.all)
    if fit.can_paint(sys.stdout) and not args.json:
        _paint(watched)
    else:
        _list_changes(watched, as_json=args.json)
    return 0


class StatusWatch:
    """The units that ``patterns`` name, of the nodes of this machine or of ``every`` one."""

    def __init__(self, run_dir: str | None, patterns: Sequence[str], *, every: bool) -> None:
        self._run_dir = run_dir
        self._patterns = patterns
        self._every = every
        self._here: Collection[str] = ()

    def looks(self) -> Iterator[Look]:
        """One for each change, and one each second without; for ever."""
        # Nobody there at the beginning is a mistake, later it is not.
        client.cluster(self._run_dir, "show the status")
        begun = False
        for look in client.follow(self._agent, every=True):
            if look.status is None:
                raise look.absent or NothingThere("cannot show the status: there is none")
            status, unnamed = self._chosen(look.status)
            if unnamed and not begun:  # later they may be gone with their agent, or with the plan
                raise NothingThere(progress.no_such("show", unnamed, look.status))
            begun = True
            yield replace(look, status=status)
            time.sleep(LEAST_S)

    def _agent(self) -> Path:
        cluster = client.cluster(self._run_dir)
        self._here = cluster.sockets.keys() | cluster.silent
        return client.first_agent(cluster)

    def _chosen(self, status: Status) -> tuple[Status, list[str]]:
        nodes = tuple(n for n in status.nodes if self._every or n.node in self._here)
        return progress.chosen(replace(status, nodes=nodes), self._patterns)


def _paint(watched: StatusWatch) -> None:
    """The live view on the terminal that stdout is, until Ctrl-C."""
    from pdsup.cli.screens import watch  # late: a single look needs no library to paint with
    from pdsup.cli.terminal.paint import Screen

    with Screen(sys.stdout, whole=True) as painter:
        for look in watched.looks():
            note = "no agent answers; this was the last" if look.absent else "Ctrl-C ends"
            if look.status is not None:
                painter.paint(watch.screen(look.status, clock.wall(), painter.size, note))


def _list_changes(watched: StatusWatch, *, as_json: bool) -> None:
    """The table again after each change, or one JSON value a line, for a pipe or a file."""
    for look in watched.looks():
        if look.new and look.status is not None:
            nodes = look.status.nodes
            print(
                typed.dumps(look.status) if as_json else "\n".join([*table(nodes), ""]), flush=True
            )
