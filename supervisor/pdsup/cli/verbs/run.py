"""``pdsup run``: a benchmark, with a verdict on the cluster that it ran on."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pdsup.cli import client, options, verdict
from pdsup.cli.screens.waiting import on_stderr
from pdsup.cli.terminal.say import say
from pdsup.cli.wait import Outcome, Wait, reaches
from pdsup.errors import WrongUsage

EXAMPLE = "pdsup run --timeout 3600 --require-clean -- ./benchmark.sh"
TAKES_COMMAND = True
TAINTED = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """How long to wait for the cluster, and what to make of the verdict."""
    options.timeout(parser, "wait S seconds at most until all is ready")
    parser.add_argument(
        "--require-clean", action="store_true", help="exit with 3 when the verdict is tainted"
    )
    options.as_json(parser, "print what run.json holds; COMMAND's stdout goes to stderr then")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """COMMAND's status, or 128 + its signal; 3: tainted, with ``--require-clean``; 1: the cluster
    can't get ready any more; 124: not in time. The verdict is ``tainted`` when for a moment
    of the benchmark a unit was not RUNNING or a node could not be asked, or when nginx was reloaded
    or GPUs were throttled or lost in it. ``run.json`` keeps it all.
    """
    from pdsup.cli.benchmark import BenchmarkRun  # late: help does not need it

    if not args.command:
        raise WrongUsage("cannot run nothing: give a command behind --, as in pdsup run -- COMMAND")
    with on_stderr(reaches("running")) as view:
        wait = Wait(args.run_dir, (), "running", view)
        outcome = wait.watch(args.timeout)
    if outcome is not Outcome.REACHED:
        say(f"pdsup: cannot run {args.command[0]}: {wait.why(outcome)}")
        return int(outcome.value)
    run_dir = Path(client.cluster(args.run_dir, f"run {args.command[0]}").run_dir)
    stdout = sys.stderr.fileno() if args.json else None
    benchmark = BenchmarkRun(run_dir).run(args.command, stdout=stdout)
    if args.json:
        print(json.dumps(verdict.record(benchmark), indent=2))
    else:
        say("\n".join(verdict.lines(benchmark)))
    tainted = args.require_clean and benchmark.verdict == "tainted"
    return TAINTED if tainted else int(benchmark.status)
