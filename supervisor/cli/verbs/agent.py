"""``pdsup agent``: becomes the agent of this node."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import supervisor

EXAMPLE = "srun --kill-on-bad-exit=0 --wait=0 pdsup agent plan.yaml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What names the node and the run; the agent's own process reads the same."""
    parser.add_argument("file", help="a plan, or a recipe (then inside a Slurm job)")
    parser.add_argument(
        "--node", help="the node of the plan to run as (default: SLURMD_NODENAME, else the host)"
    )
    parser.add_argument(
        "--run-dir", help="where all agents of this run write (default: runs/NAME-JOBID)"
    )


def run(args: argparse.Namespace) -> int:
    """Does not return: the same process goes on as the agent's guardian, with the same pid."""
    words = [args.file]
    words += ["--node", args.node] if args.node else []
    words += ["--run-dir", args.run_dir] if args.run_dir else []
    os.execv(sys.executable, guarded(words))  # noqa: S606 (own interpreter, no shell)


def guarded(words: list[str]) -> list[str]:
    """The command of a guardian whose agent gets these words.

    Nothing that ``site`` would load, and the compiled form of the guardian: it is to be small.
    """
    package = str(Path(supervisor.__file__).parents[1])
    program = (
        f"import sys; sys.path.append({package!r}); "
        "from supervisor.agent.guardian import main; sys.exit(main(sys.argv[1:]))"
    )
    agent = [sys.executable, "-m", "supervisor.launcher", *words]
    return [sys.executable, "-I", "-S", "-c", program, *agent]
