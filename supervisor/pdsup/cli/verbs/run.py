"""``pdsup run``: runs a benchmark and says whether anything disturbed it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pdsup.cli import benchmark_rules, client, options
from pdsup.cli.screens.waiting import on_stderr
from pdsup.cli.terminal.say import say
from pdsup.cli.wait import Outcome, Wait, reaches
from pdsup.errors import WrongUsage

EXAMPLE = "pdsup run --timeout 3600 --require-clean -- ./benchmark.sh"
TAKES_COMMAND = True
TAINTED = 3


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
    options.as_json(parser, "print the content of run.json; COMMAND's stdout then goes to stderr")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """The verdict is ``tainted`` if, at any moment of the benchmark, a unit was not RUNNING, a node
    did not answer, nginx was reloaded, or GPUs were throttled or lost; else ``clean``. ``run.json``
    in the run directory records it. Exit status: COMMAND's, or 128 + its signal; 3 if tainted, with
    ``--require-clean``; 1 if the cluster can no longer become ready; 124 if it was not ready at the
    timeout.
    """
    from pdsup.cli.benchmark import BenchmarkRun  # late: not needed for help

    if not args.command:
        raise WrongUsage(
            "cannot run a benchmark: put its command after --, as in pdsup run -- COMMAND"
        )
    with on_stderr(reaches("running")) as view:
        wait = Wait(args.run_dir, (), "running", view, purpose=f"run {args.command[0]}")
        outcome = wait.watch(args.timeout)
    if outcome is not Outcome.REACHED:
        say(f"pdsup: cannot run {args.command[0]}: {wait.why(outcome)}")
        return int(outcome.value)
    run_dir = Path(client.cluster(args.run_dir, f"run {args.command[0]}").run_dir)
    stdout = sys.stderr.fileno() if args.json else None
    benchmark = BenchmarkRun(run_dir).run(args.command, stdout=stdout)
    if args.json:
        print(json.dumps(benchmark_rules.record(benchmark), indent=2))
    else:
        say("\n".join(benchmark_rules.lines(benchmark)))
    tainted = args.require_clean and benchmark.verdict == "tainted"
    return TAINTED if tainted else int(benchmark.status)
