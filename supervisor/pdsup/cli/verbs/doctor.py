"""``pdsup doctor``: whether this node is fit for a run."""

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
    """For what, and as which node."""
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a plan or a recipe (default: any)"
    )
    parser.add_argument(
        "--node", help="the node of the plan that this is (default: as pdsup agent finds it)"
    )
    options.as_json(parser, "print the findings as a JSON list")


def run(args: argparse.Namespace) -> int:
    """Programs and modules, ports, addresses, limits, space, GPUs. 0: nothing is bad; 1: something
    is, and a run would fail of it.
    """
    from pdsup.cli import doctor, doctor_rules
    from pdsup.cli.terminal import fit  # late: help needs none

    found = doctor.examine(args.file, args.node)
    if args.json:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
    else:
        colours = COLOURS if fit.is_coloured(sys.stdout) else None
        print("\n".join(doctor_rules.lines(found, colours, fit.width(sys.stdout))))
    return 1 if any(one.verdict == "bad" for one in found) else 0
