"""``pdsup report``: writes an HTML report of a run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pdsup.cli import client, options
from pdsup.node.run_dir import refuse_own_file

EXAMPLE = "pdsup report runs/demo-4711 -o demo.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "run_dir",
        nargs="?",
        metavar="RUN_DIR",
        help="the run directory (default: that of the run that the other commands choose)",
    )
    parser.add_argument(
        "-o",
        dest="out",
        metavar="FILE",
        type=Path,
        help="write to FILE (default: RUN_DIR/report.html)",
    )
    options.as_json(parser, "print the data of the page as JSON instead")


def run(args: argparse.Namespace) -> int:
    """Writes one self-contained HTML file. The run may have ended or still be running."""
    from pdsup.cli import report  # late: not needed for help

    given = client.run_directory(args.run_dir, "write the report")
    out = args.out or given / "report.html"
    if not args.json:
        refuse_own_file(out, "write the report")
    source = report.gather(given.absolute(), out.absolute().parent)
    if args.json:
        print(json.dumps(report.page(source), indent=2))
        return 0
    report.write(source, out)
    print(f"wrote {out}", file=sys.stderr)
    return 0
