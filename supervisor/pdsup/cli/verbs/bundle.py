"""``pdsup bundle``: packs what a colleague needs to look into a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pdsup.cli import client, options
from pdsup.cli.terminal.say import say
from pdsup.node.run_dir import refuse_own_file

EXAMPLE = "pdsup bundle runs/demo-4711"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "run_dir",
        nargs="?",
        metavar="RUN_DIR",
        help="the run directory (default: that of the run that the other commands choose)",
    )
    parser.add_argument(
        "-o", dest="out", metavar="FILE", type=Path,
        help="write to FILE (default: RUN.bundle.tar.gz in the current directory)",
    )  # fmt: skip
    options.as_json(parser, "print one JSON value instead: the bundle, and what is in it")


def run(args: argparse.Namespace) -> int:
    """Packs plan, journals, evidence, the last 2 MiB of each log, the benchmarks' record, the
    report, versions and, of an active run, the status. Tokens of the run are left out. Values of
    variables and flags with names like HF_TOKEN or --api-key, URLs of hooks and what else looks
    secret are masked; prompts in logs are not, so look at the bundle before you publish it.
    """
    from pdsup.cli.bundle.bundle import pack  # late: not needed for help

    given = client.run_directory(args.run_dir, "pack a bundle")
    out = args.out or Path(f"{given.resolve().name}.bundle.tar.gz")
    refuse_own_file(out, "write the bundle")
    packed = pack(given, out)
    if args.json:
        files = [{"name": one.name, "bytes": one.bytes, "cut": one.cut} for one in packed]
        print(json.dumps({"bundle": str(out.absolute()), "files": files}, indent=2))
        return 0
    for one in packed:
        print(f"{one.bytes:>10}  {one.name}{'  (its end)' if one.cut else ''}")
    say(f"wrote {out}")
    return 0
