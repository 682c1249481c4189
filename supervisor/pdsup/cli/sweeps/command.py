"""Runs what ``pdsup run`` and ``pdsup up FILE -- COMMAND`` measure on a ready cluster.

That is a command, a sweep of a command, or without a command the sweep of the recipe.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pdsup import clock, typed
from pdsup.cli import benchmark_rules, client, options
from pdsup.cli.benchmark import BenchmarkRun
from pdsup.cli.results.results_rules import Attempt
from pdsup.cli.results.table import table
from pdsup.cli.screens.waiting import on_stderr
from pdsup.cli.sweeps import sweep_rules
from pdsup.cli.sweeps.sweep import Order, Sweep
from pdsup.cli.terminal.say import say
from pdsup.cli.wait import Outcome, Wait, reaches
from pdsup.errors import WrongUsage
from pdsup.node.assignment import with_interpreter
from pdsup.node.run_dir import plan_of

TAINTED = 3
# Slurm sets it to the end of the job, in seconds since the epoch.
JOB_END = "SLURM_JOB_END_TIME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to run. ``points``: empty for a single benchmark, unless there is no ``command``; then
    empty means those of the recipe. The others are options of ``pdsup run``.
    """

    command: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    repeats: int = options.REPEATS
    most_failed: float = options.MOST_FAILED
    until: float | None = None
    resume: bool = False
    canary: bool = True
    json: bool = False
    require_clean: bool = False


def with_recipe(wanted: Wanted, run_dir: Path) -> Wanted:
    """What to run, taken from the plan of a run if no command is given.

    Raises WrongUsage if its recipe has no sweep, and SupervisorError if the plan is unreadable.
    """
    if wanted.command:
        return wanted
    sweep = plan_of(run_dir).plan.sweep
    if sweep is None:
        raise WrongUsage(
            "cannot run a benchmark: its recipe has no sweep of concurrencies; put a command after "
            "--, as in pdsup run -- COMMAND"
        )

    def has_module(name: str) -> bool:
        return importlib.util.find_spec(name) is not None

    command = with_interpreter(sweep.command, sys.executable, has_module)
    return replace(wanted, command=command, points=wanted.points or sweep.points)


def run(wanted: Wanted, run_dir: Path) -> int:
    """Runs it on the ready cluster of a run directory; returns the exit status of ``pdsup run``.

    Raises SupervisorError if the command can't be started.
    """
    stdout = sys.stderr.fileno() if wanted.json else None
    if wanted.points:
        return _sweep(wanted, run_dir, stdout)
    benchmark = BenchmarkRun(run_dir).run(wanted.command, stdout=stdout)
    if wanted.json:
        print(json.dumps(benchmark_rules.record(benchmark), indent=2), flush=True)
    else:
        say("\n".join(benchmark_rules.lines(benchmark)))
    tainted = wanted.require_clean and benchmark.verdict == "tainted"
    return TAINTED if tainted else benchmark.status


def _sweep(wanted: Wanted, run_dir: Path, stdout: int | None) -> int:
    sweep_rules.check(wanted.points, wanted.command)
    until = _job_end() if wanted.until is None else wanted.until
    order = Order(
        points=wanted.points,
        command=wanted.command,
        repeats=wanted.repeats,
        most_failed=wanted.most_failed,
        until=until,
        resume=wanted.resume,
        canary=wanted.canary,
    )

    def whole_again() -> str:
        left = None if until is None else max(0.0, until - clock.wall())
        with on_stderr(reaches("running")) as view:
            wait = Wait(str(run_dir), (), "running", view, purpose=f"run {wanted.command[0]}")
            outcome = wait.watch(left)
        return "" if outcome is Outcome.REACHED else wait.why(outcome)

    status = client.status(client.cluster(str(run_dir)), every=True)
    rows = Sweep(run_dir, status, order, whole_again).run(stdout=stdout)
    _show(rows, as_json=wanted.json)
    return 0 if all(row.verdict == "clean" for row in rows) else TAINTED


def _job_end() -> float | None:
    """When the Slurm job ends, in seconds since the epoch, if Slurm tells it."""
    text = os.environ.get(JOB_END, "")
    return float(text) if text.isdecimal() else None


def _show(rows: Sequence[Attempt], *, as_json: bool) -> None:
    if as_json:
        print(typed.dumps({"points": rows}, indent=2), flush=True)
    else:
        say("\n".join(table(rows)))
