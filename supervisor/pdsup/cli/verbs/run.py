"""``pdsup run``: runs a benchmark, or a sweep of them, and says whether anything disturbed it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pdsup import clock
from pdsup.cli import client, options
from pdsup.cli.screens.waiting import on_stderr
from pdsup.cli.terminal.say import say
from pdsup.cli.wait import Outcome, Wait, reaches
from pdsup.errors import WrongUsage

if TYPE_CHECKING:
    from pdsup.cli.sweeps.command import Wanted

EXAMPLE = "pdsup run --timeout 3600 --points 1,8,64 -- ./benchmark.sh {}"
TAKES_COMMAND = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    options.timeout(
        parser,
        "wait at most S seconds until everything is ready (default: no limit, but 10 min if no "
        "agent ever answers)",
    )
    parser.add_argument(
        "--require-clean", action="store_true", help="exit with 3 if the verdict is tainted"
    )
    parser.add_argument(
        "--points",
        metavar="LIST",
        help="run COMMAND once a point, such as 1,8,64 or 1x8x64; it replaces {} in COMMAND",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=options.REPEATS,
        metavar="N",
        help=f"repeat a point that a fault spoiled at most N times (default: {options.REPEATS})",
    )
    parser.add_argument(
        "--until",
        metavar="TIME",
        help="begin no point that would end later: 2h, 14:30 or 2026-11-28T14:30 (default: the end "
        "of the Slurm job, if Slurm tells it)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="do not repeat points that are clean already, in this run or in the last run of the "
        "same plan beside it",
    )
    parser.add_argument(
        "--most-failed",
        type=float,
        default=options.MOST_FAILED,
        metavar="SHARE",
        help="a point of which more requests fail is not clean, 0 to 1 "
        f"(default: {options.MOST_FAILED:g})",
    )
    parser.add_argument(
        "--no-canary",
        dest="canary",
        action="store_false",
        help="begin points without asking for a tiny generation through the front first",
    )
    options.as_json(
        parser,
        "print the content of run.json, or the points; COMMAND's stdout then goes to stderr",
    )
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """The verdict is ``tainted`` if, at any moment of the benchmark, a unit was not RUNNING, a node
    did not answer, nginx was reloaded, or GPUs were throttled or lost; else ``clean``. ``run.json``
    in the run directory records it. Exit status: COMMAND's, or 128 + its signal; 3 if tainted, with
    ``--require-clean``; 1 if the cluster can no longer become ready; 124 if it was not ready at the
    timeout.

    With ``--points`` COMMAND is run once a point, and each point has its own verdict: ``tainted``
    points are repeated as soon as the cluster is whole again, and a point whose command failed, got
    no token or too many failed requests is ``failed``. Without COMMAND it is the sweep of the
    recipe's benchmark. ``results/`` in the run directory holds all; ``pdsup results`` shows it.
    Exit status: 0 if every point is clean, else 3.
    """
    wanted = _wanted(args)
    what = wanted.command[0] if wanted.command else "the recipe's benchmark"
    if not wanted.command:
        from pdsup.cli.sweeps import command  # late: not needed for help

        run_dir = Path(client.cluster(args.run_dir, f"run {what}").run_dir)
        command.with_recipe(wanted, run_dir)  # says at once if there is none
    with on_stderr(reaches("running")) as view:
        wait = Wait(args.run_dir, (), "running", view, purpose=f"run {what}")
        outcome = wait.watch(args.timeout)
    if outcome is not Outcome.REACHED:
        say(f"pdsup: cannot run {what}: {wait.why(outcome)}")
        return int(outcome.value)
    from pdsup.cli.sweeps import command

    run_dir = Path(client.cluster(args.run_dir, f"run {what}").run_dir)
    return command.run(command.with_recipe(wanted, run_dir), run_dir)


def _wanted(args: argparse.Namespace) -> Wanted:
    """What the options mean. Raises WrongUsage for what can't be meant."""
    from pdsup.cli.sweeps import sweep_rules  # late: not needed for help
    from pdsup.cli.sweeps.command import Wanted

    single = args.command and args.points is None
    for name in ("until", "resume"):
        if getattr(args, name) and single:
            raise WrongUsage(f"run: --{name} is for a sweep: give --points")
    if args.repeats < 0:
        raise WrongUsage(f"run: --repeats {args.repeats}: give 0 or more")
    if not 0 <= args.most_failed <= 1:
        raise WrongUsage(f"run: --most-failed {args.most_failed:g}: give a share from 0 to 1")
    return Wanted(
        command=tuple(args.command or ()),
        points=() if args.points is None else sweep_rules.parsed(args.points),
        repeats=args.repeats,
        most_failed=args.most_failed,
        until=options.when(args.until, "--until", "run", clock.wall(), ahead=True),
        resume=args.resume,
        canary=args.canary,
        json=args.json,
        require_clean=args.require_clean,
    )
