"""``pdsup agent``: runs the agent of this node."""

from __future__ import annotations

import argparse
import os
import sys

from pdsup.cli import options

EXAMPLE = "srun --kill-on-bad-exit=0 --wait=0 pdsup agent plan.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options that name the node and the run; the agent's own process reads the same ones."""
    parser.add_argument("file", metavar="FILE", help="a plan, or inside a Slurm job a recipe")
    parser.add_argument(
        "--node",
        help="which node of the plan this is (default: SLURMD_NODENAME, else the host name)",
    )
    options.run_dir(
        parser,
        "where all agents of this run write logs and journals (default: PDSUP_RUN_DIR, else "
        "runs/NAME-JOBID)",
    )
    options.allow_writable(parser)


def run(args: argparse.Namespace) -> int:
    """Does not return: the process becomes the agent's guardian and keeps its pid."""
    from pdsup.cli.runs.named import given  # late: not needed for help
    from pdsup.units.process import guardian

    words = [args.file]
    words += ["--node", args.node] if args.node else []
    named = given(args.run_dir)
    words += ["--run-dir", str(named.path)] if named else []
    if args.allow_writable:
        from pdsup.node.run_dir import ALLOW

        words.append(ALLOW)
    os.execv(sys.executable, guardian.command(words))  # noqa: S606 (own interpreter, no shell)
