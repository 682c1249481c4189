"""``pdsup run``: runs a benchmark, or a sweep of them, and says whether anything disturbed it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pdsup import clock, typed
from pdsup.cli import benchmark_rules, client, options
from pdsup.cli.screens.waiting import on_stderr
from pdsup.cli.terminal.say import say
from pdsup.cli.wait import Outcome, Wait, reaches
from pdsup.errors import WrongUsage

if TYPE_CHECKING:
    from pdsup.cli.sweeps.sweep_rules import Attempt

EXAMPLE = "pdsup run --timeout 3600 --points 1,8,64 -- ./benchmark.sh {}"
TAKES_COMMAND = True
TAINTED = 3
REPEATS = 2
MOST_FAILED = 0.05
# Slurm sets it to the end of the job, in seconds since the epoch.
JOB_END = "SLURM_JOB_END_TIME"


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
        help="run COMMAND once a point, such as 1,8,64 or 1x8x64; it replaces {} in COMMAND, and "
        "PDSUP_POINT holds it",
    )
    parser.add_argument(
        "--repeats",
        type=int,
        default=REPEATS,
        metavar="N",
        help=f"repeat a point that a fault spoiled at most N times (default: {REPEATS})",
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
        default=MOST_FAILED,
        metavar="SHARE",
        help=f"a point of which more requests fail is not clean, 0 to 1 (default: {MOST_FAILED:g})",
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
    no token or too many failed requests is ``failed``. COMMAND may leave the result files of
    bench_serving or AIPerf in the directory PDSUP_RESULTS. ``results/`` in the run directory holds
    all; ``pdsup results`` shows it. Exit status: 0 if every point is clean, else 3.
    """
    if not args.command:
        raise WrongUsage(
            "cannot run a benchmark: put its command after --, as in pdsup run -- COMMAND"
        )
    points = _points(args)
    with on_stderr(reaches("running")) as view:
        wait = Wait(args.run_dir, (), "running", view, purpose=f"run {args.command[0]}")
        outcome = wait.watch(args.timeout)
    if outcome is not Outcome.REACHED:
        say(f"pdsup: cannot run {args.command[0]}: {wait.why(outcome)}")
        return int(outcome.value)
    cluster = client.cluster(args.run_dir, f"run {args.command[0]}")
    return _sweep(args, points, cluster) if points else _single(args, Path(cluster.run_dir))


def _points(args: argparse.Namespace) -> tuple[str, ...]:
    """The points; none for a single benchmark. Raises WrongUsage for what can't be meant."""
    for name in ("until", "resume"):
        if getattr(args, name) and args.points is None:
            raise WrongUsage(f"run: --{name} is for a sweep: give --points")
    if args.repeats < 0:
        raise WrongUsage(f"run: --repeats {args.repeats}: give 0 or more")
    if not 0 <= args.most_failed <= 1:
        raise WrongUsage(f"run: --most-failed {args.most_failed:g}: give a share from 0 to 1")
    if args.points is None:
        return ()
    from pdsup.cli.sweeps import sweep_rules  # late: not needed for help

    return sweep_rules.parsed(args.points)


def _single(args: argparse.Namespace, run_dir: Path) -> int:
    from pdsup.cli.benchmark import BenchmarkRun  # late: not needed for help

    benchmark = BenchmarkRun(run_dir).run(args.command, stdout=_stdout(args))
    if args.json:
        print(json.dumps(benchmark_rules.record(benchmark), indent=2))
    else:
        say("\n".join(benchmark_rules.lines(benchmark)))
    tainted = args.require_clean and benchmark.verdict == "tainted"
    return TAINTED if tainted else int(benchmark.status)


def _stdout(args: argparse.Namespace) -> int | None:
    return sys.stderr.fileno() if args.json else None


def _sweep(args: argparse.Namespace, points: tuple[str, ...], cluster: client.Cluster) -> int:
    from pdsup.cli.sweeps.sweep import Order, Sweep  # late: not needed for help

    run_dir = Path(cluster.run_dir)
    until = options.when(args.until, "--until", "run", clock.wall(), ahead=True) or _job_end()
    order = Order(
        points=points,
        command=tuple(args.command),
        repeats=args.repeats,
        most_failed=args.most_failed,
        until=until,
        resume=args.resume,
    )

    def whole_again() -> str:
        left = None if until is None else max(0.0, until - clock.wall())
        with on_stderr(reaches("running")) as view:
            wait = Wait(str(run_dir), (), "running", view, purpose=f"run {args.command[0]}")
            outcome = wait.watch(left)
        return "" if outcome is Outcome.REACHED else wait.why(outcome)

    status = client.status(cluster, every=True)
    rows = Sweep(run_dir, status, order, whole_again).run(stdout=_stdout(args))
    _show(args, rows)
    return 0 if all(row.verdict == "clean" for row in rows) else TAINTED


def _job_end() -> float | None:
    """When the Slurm job ends, in seconds since the epoch, if Slurm tells it."""
    text = os.environ.get(JOB_END, "")
    return float(text) if text.isdecimal() else None


def _show(args: argparse.Namespace, rows: list[Attempt]) -> None:
    if args.json:
        print(typed.dumps({"points": rows}, indent=2))
        return
    from pdsup.cli.sweeps.table import table

    say("\n".join(table(rows)))
