"""``pdsup agent``: becomes the agent of this node."""

from __future__ import annotations

import argparse
import os
import sys

from pdsup.cli import options

EXAMPLE = "srun --kill-on-bad-exit=0 --wait=0 pdsup agent plan.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What names the node and the run; the agent's own process reads the same."""
    parser.add_argument("file", help="a plan, or a recipe (then inside a Slurm job)")
    parser.add_argument(
        "--node", help="the node of the plan to run as (default: SLURMD_NODENAME, else the host)"
    )
    options.run_dir(parser, "where all agents of this run write (default: runs/NAME-JOBID)")


def run(args: argparse.Namespace) -> int:
    """Does not return: the same process goes on as the agent's guardian, with the same pid."""
    from pdsup.units.process import guardian  # late: help needs none

    words = [args.file]
    words += ["--node", args.node] if args.node else []
    words += ["--run-dir", args.run_dir] if args.run_dir else []
    os.execv(sys.executable, guardian.command(words))  # noqa: S606 (own interpreter, no shell)
