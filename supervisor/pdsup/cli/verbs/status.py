"""``pdsup status``: shows the status table."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pdsup import typed
from pdsup.answers.status import Status
from pdsup.cli import client, options
from pdsup.cli.client import Look
from pdsup.cli.screens import progress
from pdsup.cli.screens.status import table
from pdsup.cli.terminal import fit, streams
from pdsup.errors import NothingThere

# A change is shown at once, but at most this often.
LEAST_S = 0.1
EXAMPLE = "pdsup status --all 'decode-*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    options.units(parser)
    parser.add_argument(
        "--all", action="store_true", help="show all nodes (default: the nodes of this machine)"
    )
    parser.add_argument(
        "--watch", action="store_true", help="live view; what needs attention is on top"
    )
    options.as_json(parser, "print one JSON value instead of the table")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Of a run of which no agent answers, it shows how the journals end, on all nodes. Exit status:
    0 if every unit is ready, which is RUNNING and able to serve, or EXITED with status 0; else 3.
    ``--watch`` runs until q or Ctrl-C; arrows select a unit, enter explains it, l shows its log,
    esc goes back. If stdout is not a terminal, it prints the table, or a line of JSON, after each
    change.
    """
    if args.watch:
        return _watch(args)
    run = client.seen(args.run_dir, "show the status")
    found = client.status(run, every=args.all)
    shown, unnamed = progress.chosen(found, args.units)
    if unnamed and not args.all:  # units of other nodes
        found = client.status(run, every=True)
        shown, unnamed = progress.chosen(found, args.units)
    if unnamed:
        raise NothingThere(progress.no_such("show", unnamed, found))
    if args.json:
        past = {} if isinstance(run, client.Cluster) else {"past": run.to_json()}
        print(typed.dumps({**vars(shown), **past}, indent=2))
    else:
        colour, width = fit.is_coloured(sys.stdout), fit.width(sys.stdout)
        clients = [f"clients talk to {found.url}"] if width and found.url and not args.units else []
        print("\n".join([*table(shown.nodes, colour=colour, width=width), *clients]))
    return 0 if all(unit.is_up for unit in shown.units) else 3


def _watch(args: argparse.Namespace) -> int:
    streams.end_with_the_reader()
    # No agent at the start is an error; later it is a state to show. A newer run is not followed.
    run_dir = client.cluster(args.run_dir, "watch the status", looks=True).run_dir
    watched = StatusWatch(run_dir, args.units, every=args.all)
    if fit.can_paint(sys.stdout) and not args.json:
        from pdsup.cli.live import live  # late: a single look paints nothing

        live.show(watched.looks(), run_dir)
    else:
        _list_changes(watched, as_json=args.json)
    return 0


class StatusWatch:
    """Follows the units that ``patterns`` name, of this machine's nodes or of ``every`` node."""

    def __init__(self, run_dir: str | None, patterns: Sequence[str], *, every: bool) -> None:
        self._run_dir = run_dir
        self._patterns = patterns
        self._every = every
        self._here: Collection[str] = ()

    def looks(self) -> Iterator[Look]:
        """Yields a look at each change, and each second without one, forever."""
        begun = False
        for look in client.follow(self._agent, every=True):
            if look.status is None:
                raise look.absent or NothingThere(
                    "cannot show the status: no agent has reported one"
                )
            status, unnamed = self._chosen(look.status)
            if unnamed and not begun:  # later they may have left the plan
                raise NothingThere(progress.no_such("show", unnamed, look.status))
            begun = True
            yield look._replace(status=status)
            time.sleep(LEAST_S)

    def _agent(self) -> Path:
        cluster = client.cluster(self._run_dir)
        self._here = cluster.sockets.keys() | cluster.silent
        return client.first_agent(cluster)

    def _chosen(self, status: Status) -> tuple[Status, list[str]]:
        nodes = tuple(n for n in status.nodes if self._every or n.node in self._here)
        return progress.chosen(status.replace(nodes=nodes), self._patterns)


def _list_changes(watched: StatusWatch, *, as_json: bool) -> None:
    """Prints the table, or a line of JSON, after each change, for a pipe or a file."""
    for look in watched.looks():
        if look.new and look.status is not None:
            nodes = look.status.nodes
            print(
                typed.dumps(look.status) if as_json else "\n".join([*table(nodes), ""]), flush=True
            )
