"""``pdsup status``: the table."""

from __future__ import annotations

import argparse
import sys

from pdsup.cli import client
from pdsup.cli.screens import progress
from pdsup.cli.screens.status import table
from pdsup.cli.terminal import fit
from pdsup.errors import NothingThere

EXAMPLE = "pdsup status --all 'decode-*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which units, of which nodes."""
    parser.add_argument("units", nargs="*", metavar="UNIT", help="names or globs (default: all)")
    parser.add_argument(
        "--all", action="store_true", help="the whole cluster (default: the agents of this machine)"
    )
    parser.add_argument(
        "--watch", action="store_true", help="a live view, what needs attention first"
    )
    parser.add_argument("--json", action="store_true", help="one JSON value instead of the table")
    parser.add_argument("--run-dir", help="which run, when several are on this machine")


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
        import json

        print(json.dumps(shown, indent=2))
    else:
        colour, width = fit.is_coloured(sys.stdout), fit.width(sys.stdout)
        print("\n".join(table(shown["nodes"], colour=colour, width=width)))
    good = all(u["state"] == "RUNNING" or progress.ended_well(u) for u in progress.units(shown))
    return 0 if good else 3


def _watch(args: argparse.Namespace) -> int:
    from pdsup.cli import watch  # late: a single look needs no library to paint with

    following = watch.StatusWatch(args.run_dir, args.units, every=args.all)
    if fit.can_paint(sys.stdout) and not args.json:
        watch.paint(following)
    else:
        watch.list_changes(following, as_json=args.json)
    return 0
