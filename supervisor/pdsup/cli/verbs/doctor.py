"""``pdsup doctor``: checks that this node is ready for a run."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pdsup.cli import options

EXAMPLE = "srun pdsup doctor plan.yaml"
COLOURS: Mapping[Literal["ok", "note", "bad"], str] = {"ok": "32", "note": "33", "bad": "31;1"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="a plan or recipe (default: only checks that need no plan)",
    )
    parser.add_argument(
        "--node", help="which node of the plan this is (default: as for pdsup agent)"
    )
    options.as_json(parser, "print the findings as a JSON list")


def run(args: argparse.Namespace) -> int:
    """Checks programs and modules, ports, addresses, limits, CPUs, paths of sockets, disk and
    memory space, and GPUs. Exit status: 0 if nothing is bad; 1 if a finding is bad: a run would
    fail.
    """
    from pdsup.cli import doctor, doctor_rules
    from pdsup.cli.terminal import fit  # late: not needed for help

    found = doctor.examine(args.file, args.node)
    if args.json:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
    else:
        colours = COLOURS if fit.is_coloured(sys.stdout) else None
        print("\n".join(doctor_rules.lines(found, colours, fit.width(sys.stdout))))
    return 1 if any(one.verdict == "bad" for one in found) else 0
