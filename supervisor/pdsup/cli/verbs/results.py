"""``pdsup results``: shows the points of a sweep."""

from __future__ import annotations

import argparse
from pathlib import Path

from pdsup import typed
from pdsup.cli import client, options
from pdsup.errors import NothingThere

EXAMPLE = "pdsup results runs/demo-1234 --json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "directory", nargs="?", metavar="RUN_DIR", help="which run (default: as for status)"
    )
    options.run_dir(parser, "the same, as an option")
    parser.add_argument(
        "--all", action="store_true", help="every attempt, not only the one that counts"
    )
    options.as_json(parser)


def run(args: argparse.Namespace) -> int:
    """Shows one line a point of `pdsup run --points`: its verdict, throughput in output tokens per
    second, also per GPU, and latencies in milliseconds; of several attempts the one that counts,
    which is the first clean one, else the last. Exit status: 0, or 4 if the run has no points.
    """
    from pdsup.cli.results import results  # late: not needed for help
    from pdsup.cli.results.table import table

    run_dir = Path(client.run_directory(args.directory or args.run_dir, "show the results"))
    found = results.read(run_dir)
    if found is None:
        raise NothingThere(
            f"cannot show the results: {run_dir} has none; pdsup run --points makes some"
        )
    rows = list(found.attempts) if args.all else found.rows
    print(typed.dumps({"points": rows}, indent=2) if args.json else "\n".join(table(rows)))
    return 0
