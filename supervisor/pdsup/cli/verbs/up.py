"""``pdsup up``: runs the whole cluster on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from pdsup.cli import options
from pdsup.plan.engines.engine import EngineName

EXAMPLE = "pdsup up configs/demo.yaml -- ./benchmark.sh"
# The command after -- is run when everything is ready; then everything is stopped.
TAKES_COMMAND = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="a recipe, or a plan whose addresses belong to this machine",
    )
    parser.add_argument(
        "--engine", choices=get_args(EngineName), help="override the recipe's backend.type"
    )
    options.recipe_choice(parser)
    options.timeout(parser, "give up if it is not ready after S seconds")
    parser.add_argument(
        "--detach", action="store_true", help="return when it is ready and leave it running"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="if it does not become ready, leave it running to look into",
    )
    options.as_json(
        parser,
        "print one JSON value with the status when it is ready or has failed; with COMMAND, print "
        "the content of run.json at the end (COMMAND's stdout then goes to stderr)",
    )
    options.run_dir(
        parser, "where to write logs and journals (default: PDSUP_RUN_DIR, else runs/NAME-TIME)"
    )
    options.allow_writable(parser)


def run(args: argparse.Namespace) -> int:
    """Stays in the foreground and says what happens, until Ctrl-C, which stops everything. With
    COMMAND, runs it when everything is ready, then stops everything; with ``--`` alone, the sweep
    of the recipe's benchmark, as `pdsup run` does. Exit status: that of COMMAND or of the sweep;
    else 0 if the cluster came up and stopped well; 1 if it could not come up or a unit was FATAL;
    124 if it was not ready at the timeout (then everything is stopped, unless ``--keep``); 130 if
    interrupted before it was ready.
    """
    from pdsup.cli import up  # late: not needed for help and completion
    from pdsup.cli.live.follow import told

    return up.run(args, told, lambda run_dir: _benchmark(args, run_dir))


def _benchmark(args: argparse.Namespace, run_dir: Path) -> int:
    from pdsup.cli.sweeps import command  # late: as above

    wanted = command.Wanted(command=tuple(args.command), json=args.json)
    return command.run(command.with_recipe(wanted, run_dir), run_dir)
