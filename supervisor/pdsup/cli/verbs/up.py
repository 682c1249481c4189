"""``pdsup up``: the whole cluster on this one machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from pdsup.cli import options
from pdsup.plan.engines.engine import EngineName

EXAMPLE = "pdsup up configs/demo.yaml -- ./benchmark.sh"
# What follows -- is run when all is ready; then everything is stopped.
TAKES_COMMAND = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to bring up, and what to do then."""
    parser.add_argument(
        "file", type=Path, help="a recipe, or a plan whose addresses are of this machine"
    )
    parser.add_argument("--engine", choices=get_args(EngineName), help="instead of the recipe's")
    options.recipe_choice(parser)
    options.timeout(parser, "give up after S seconds")
    parser.add_argument("--detach", action="store_true", help="return when it is ready")
    options.as_json(
        parser,
        "when it is ready, or can't be, one JSON value with its status; with COMMAND at the "
        "end what run.json holds, and COMMAND's stdout goes to stderr",
    )
    options.run_dir(parser, "where it writes (default: runs/NAME-TIME)")


def run(args: argparse.Namespace) -> int:
    """0: was up and ended well; 1: could not come up, or a unit was FATAL; 124: not up in time;
    130: interrupted before it was up; COMMAND's status when there is one.
    """
    from pdsup.cli import up  # late: help and the shell's completion do not need it

    return up.run(args)
