"""``pdsup sbatch``: prints a Slurm job script for a recipe."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pdsup.cli import options
from pdsup.errors import InvalidDocument, WrongUsage

if TYPE_CHECKING:
    from pdsup.plan.model import Plan

EXAMPLE = "pdsup sbatch recipe.yaml --signal-before 180 > job.sh"
# Makes a unit of the sweep of a recipe, with which the job ends.
SWEEP = "benchmark.command=[python3, -m, pdsup, run, --resume]"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument(
        "file", metavar="RECIPE", type=Path, help="a recipe; it determines the number of nodes"
    )
    options.recipe_choice(parser)
    parser.add_argument(
        "--container-image",
        metavar="IMAGE",
        help="run the agents in this container (srun with pyxis)",
    )
    parser.add_argument(
        "--container-mounts", metavar="LIST", help="what to mount into it: FROM:TO,..."
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="do not run the sweep of the recipe's benchmark, with which the job would end",
    )
    parser.add_argument(
        "--signal-before",
        metavar="S",
        type=_seconds,
        default=120,
        help="shut down S seconds before the job's time limit; default: 120",
    )
    options.allow_writable(parser)


def run(args: argparse.Namespace) -> int:
    """The number of nodes, `slurm`, `sbatch_directives` and `srun_options` come from the recipe. If
    its benchmark is a sweep, the job runs `pdsup run --resume` and ends with it, else it serves
    until it is stopped. If RECIPE is a relative path, submit the job from the current directory.
    """
    from pdsup.cli.terminal.say import warn
    from pdsup.node.installed import Installed
    from pdsup.node.run_dir import ALLOW, refuse_writable
    from pdsup.plan.compile import load
    from pdsup.plan.compile.nodes import invented_nodes
    from pdsup.plan.document import source, tree
    from pdsup.plan.recipe import job_script  # late: not needed for help

    overrides = tuple(args.overrides)
    nodes = invented_nodes(load.node_count(args.file, overrides, args.variant))
    loaded = load.load(
        args.file, nodes=nodes, overrides=overrides, variant=args.variant, machine=Installed()
    )
    warn(str(args.file), loaded.warnings)
    if loaded.recipe is None:
        raise WrongUsage(
            f"cannot make a job of {args.file}: it is a plan, which fixes its nodes; give a recipe"
        )
    if not args.allow_writable:  # better now than after hours in a queue
        file, _ = source.selector(args.file, args.variant)
        refuse_writable(f"make a job of {args.file}", None, file, loaded.plan.hooks)
    directives, srun, problems = job_script.options(loaded.recipe)
    if problems:
        located = tuple(tree.locate(loaded.recipe, problem) for problem in problems)
        raise InvalidDocument(str(args.file), located)
    job = job_script.Job(
        recipe=str(args.file),
        name=loaded.plan.name,
        nodes=len(nodes),
        signal_before_s=args.signal_before,
        directives=directives,
        srun={**srun, **_container(args)},
        selection=_selection(args, loaded.plan),
        more=(ALLOW,) if args.allow_writable else (),
    )
    # The path may hold bytes that are not valid text.
    sys.stdout.buffer.write(os.fsencode(job_script.script(job)))
    return 0


def _selection(args: argparse.Namespace, plan: Plan) -> tuple[str, ...]:
    variant = () if args.variant is None else (f"--variant={args.variant}",)
    own = any(unit.kind == "benchmark" for unit in plan.units)
    sweep = () if own or args.serve or plan.sweep is None else (f"--set={SWEEP}",)
    return (*variant, *(f"--set={setting}" for setting in args.overrides), *sweep)


def _container(args: argparse.Namespace) -> dict[str, str | None]:
    given = {"container-image": args.container_image, "container-mounts": args.container_mounts}
    return {name: value for name, value in given.items() if value is not None}


def _seconds(text: str) -> int:
    """Seconds within Slurm's own bounds of ``--signal``."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 65535")
    return int(text)
