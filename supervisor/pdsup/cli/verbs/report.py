"""``pdsup report``: a page about a run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pdsup.cli import options

EXAMPLE = "pdsup report runs/demo-4711 -o demo.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and where to write."""
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="its directory")
    parser.add_argument(
        "-o", dest="out", metavar="FILE", type=Path, help="default: RUN_DIR/report.html"
    )
    options.as_json(parser, "print what the page shows instead")


def run(args: argparse.Namespace) -> int:
    """One HTML file that needs no network; of a run that has ended, or that still goes on."""
    from pdsup.cli import report
    from pdsup.cli.screens import report as screen  # late: help needs neither

    out = args.out or args.run_dir / "report.html"
    source = report.gather(args.run_dir.absolute(), out.absolute().parent)
    if args.json:
        print(json.dumps(screen.page(source), indent=2))
        return 0
    report.write(source, out)
    print(f"wrote {out}", file=sys.stderr)
    return 0
