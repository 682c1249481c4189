"""``pdsup status``: the table."""

from __future__ import annotations

import argparse
import sys

from supervisor.cli import client, progress
from supervisor.cli.table import table
from supervisor.errors import NothingThere

SUMMARY = "show what the units do"
EXAMPLE = "pdsup status --all 'decode-*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which units, of which nodes."""
    parser.add_argument("units", nargs="*", metavar="UNIT", help="names or globs (default: all)")
    parser.add_argument(
        "--all", action="store_true", help="the whole cluster (default: the agents of this machine)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON value instead of the table")
    parser.add_argument("--run-dir", help="which run, when several are on this machine")


def run(args: argparse.Namespace) -> int:
    """0: all of them RUNNING or EXITED with 0; 3: some are not."""
    found = client.status(client.cluster(args.run_dir), every=args.all)
    shown, unnamed = progress.chosen(found, args.units)
    if unnamed:
        raise NothingThere(f"cannot show {', '.join(unnamed)}: no such unit")
    if args.json:
        import json

        print(json.dumps(shown, indent=2))
    else:
        print("\n".join(table(shown["nodes"], colour=sys.stdout.isatty())))
    good = all(u["state"] == "RUNNING" or progress.ended_well(u) for u in progress.units(shown))
    return 0 if good else 3
