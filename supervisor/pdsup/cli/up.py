"""Runs ``pdsup up``: compile, start the agents, wait until ready, stay or run COMMAND, stop."""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

from pdsup import clock, typed
from pdsup.cli.loopback import Agents, alone, loopback_nodes, refuse_busy_ports
from pdsup.cli.runs.named import given
from pdsup.cli.screens.status import table
from pdsup.cli.screens.waiting import on_stderr
from pdsup.cli.terminal import fit, signals
from pdsup.cli.terminal.say import say, warn
from pdsup.cli.wait import Outcome, Wait, reaches
from pdsup.errors import SupervisorError, WrongUsage
from pdsup.node.installed import Installed
from pdsup.node.origin import Origin
from pdsup.node.paths import JOURNALS
from pdsup.node.run_dir import prepare, refuse_writable, risks
from pdsup.plan.compile import load
from pdsup.plan.compile.load import Loaded
from pdsup.plan.compile.nodes import invented_nodes
from pdsup.plan.document import source
from pdsup.plan.front import front_of
from pdsup.plan.model import Node, Plan
from pdsup.times import moment
from pdsup.units import takeover

# Runs COMMAND on the run of a directory; returns the exit status.
Benchmark = Callable[[Path], int]
# Says inside ``with`` what happens to the run of a directory.
Told = Callable[[Path, Callable[[str], None]], AbstractContextManager[None]]


def run(args: argparse.Namespace, told: Told, benchmark: Benchmark) -> int:
    """Brings up a cluster and stops it at the end; returns the exit status of ``pdsup up``."""
    with signals.handled(_interrupt):
        return _run(args, told, benchmark)


def _run(args: argparse.Namespace, told: Told, benchmark: Benchmark) -> int:
    agents = Agents(allow_writable=args.allow_writable)
    detached = False
    try:
        plan, run_dir = _start(args, agents)
        _until_ready(args, agents, plan, run_dir)
        front = front_of(plan)
        say(f"ready: clients talk to {front}" if front else "ready")
        if args.command is not None:
            return benchmark(run_dir)
        detached = args.detach
        if detached:
            say("next: pdsup status, pdsup explain UNIT, pdsup shutdown --all")
        return 0 if detached else _stay(agents, run_dir, told)
    except _NotUp as error:
        say(f"pdsup: cannot bring up {args.file}: {error}")
        detached = args.keep
        if not detached:
            agents.stop(say)
        _say_where(error.run_dir, error.culprit, kept=detached)
        return int(error.outcome.value)
    finally:
        if not detached:
            agents.stop(say)


class _NotUp(Exception):
    def __init__(self, outcome: Outcome, why: str, run_dir: Path, culprit: str) -> None:
        super().__init__(why)
        self.outcome = outcome
        self.run_dir = run_dir
        self.culprit = culprit


def _say_where(run_dir: Path, unit: str, *, kept: bool) -> None:
    """Says where to look for the cause, which is all there after the end too."""
    here = run_dir.is_relative_to(Path.cwd())
    path = shlex.quote(os.path.relpath(run_dir) if here else str(run_dir))
    where = f"--run-dir {path}"
    say(f"what it wrote: {path}, with logs in {path}/logs")
    say(f"next: pdsup explain {unit} {where}, pdsup report {path}")
    if kept:
        say(f"left running (--keep): pdsup shutdown --all {where} ends it")


def _start(args: argparse.Namespace, agents: Agents) -> tuple[Plan, Path]:
    with alone():
        named = given(args.run_dir)
        if named:
            _refuse_used(args.file, named.path.resolve(), named.origin)
        count = load.node_count(args.file, tuple(args.overrides), args.variant)
        draft = _load(args, invented_nodes(count), Installed())
        warn(str(args.file), draft.warnings)
        if args.command == [] and draft.plan.sweep is None:
            raise WrongUsage(
                f"cannot measure {args.file}: its benchmark is no sweep; put a command after --"
            )
        loaded = _load(args, loopback_nodes(draft.plan))
        plan = loaded.plan
        refuse_busy_ports(plan)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        run_dir = named.path if named else _unused(Path(f"runs/{plan.name}-{stamp}"))
        run_dir = run_dir.resolve()
        _look_who_may_write(args, run_dir, plan)
        prepare(run_dir, loaded.text, _origin(args), mode=loaded.mode)
        say(
            f"{plan.name}: {len(plan.units)} units on {len(plan.nodes)} nodes, writing to {run_dir}"
            f"{named.origin if named else ''}"
        )
        agents.start(plan, run_dir)
        return plan, run_dir


def _look_who_may_write(args: argparse.Namespace, run_dir: Path, plan: Plan) -> None:
    """Raises SupervisorError if others may change what runs, or warns if that is accepted."""
    file, _ = source.selector(args.file, args.variant)
    if args.allow_writable:
        for path, cause in risks(run_dir, file, plan.hooks).items():
            say(f"warning: others can choose what runs here, since {path}: {cause}")
    else:
        refuse_writable(f"bring up {args.file}", run_dir, file, plan.hooks)


def _refuse_used(file: Path, run_dir: Path, origin: str) -> None:
    """Raises SupervisorError if a run is, or was, in the directory: its journal and numbers, and
    the verdicts on it, are those of one run.
    """
    if there := takeover.occupants(run_dir, os.environ):
        raise takeover.in_use(f"bring up {file}", run_dir, str(file), there, os.environ, origin)
    journals = (run_dir / JOURNALS).glob("*.jsonl")
    if last := max((path.stat().st_mtime for path in journals), default=None):
        raise SupervisorError(
            f"cannot bring up {file}: {run_dir}{origin} holds an earlier run, whose last event "
            f"was at {moment(last, clock.wall())}; give another directory, such as "
            f"--run-dir {shlex.quote(str(_unused(run_dir)))}"
        )


def _unused(run_dir: Path) -> Path:
    """This directory, or if it exists NAME-2, NAME-3 and so on beside it."""
    more = (run_dir.with_name(f"{run_dir.name}-{number}") for number in itertools.count(2))
    return next(path for path in (run_dir, *itertools.islice(more, 1000)) if not path.exists())


def _load(
    args: argparse.Namespace, nodes: tuple[Node, ...], machine: Installed | None = None
) -> Loaded:
    return load.load(
        args.file,
        nodes=nodes,
        bind="address",
        engine=args.engine,
        overrides=tuple(args.overrides),
        variant=args.variant,
        machine=machine,
    )


def _origin(args: argparse.Namespace) -> Origin:
    return Origin(
        file=str(Path(args.file).absolute()),
        variant=args.variant,
        overrides=tuple(args.overrides),
        engine=args.engine,
    )


def _until_ready(args: argparse.Namespace, agents: Agents, plan: Plan, run_dir: Path) -> None:
    with on_stderr(reaches("running")) as view:
        wait = Wait(str(run_dir), (), "running", view, agents.trouble)
        outcome = wait.watch(args.timeout)
    if outcome is not Outcome.REACHED:
        wait.look_again()  # what it saw last may be as old as the last change
    if args.json and not (args.command is not None and outcome is Outcome.REACHED):
        found = {"outcome": outcome.name.lower(), "missing": wait.missing, "url": front_of(plan)}
        _print({**found, "run_dir": str(run_dir), "status": wait.status})
    if wait.status is not None:
        colour, width = fit.is_coloured(sys.stderr), fit.width(sys.stderr)
        say("\n".join(table(wait.status.nodes, colour=colour, width=width)))
    if outcome is not Outcome.REACHED:
        raise _NotUp(outcome, wait.why(outcome), run_dir, wait.culprit or plan.units[0].name)


def _print(value: Any) -> None:
    """Prints JSON at once, because the command may stay in the foreground."""
    print(typed.dumps(value, indent=2), flush=True)


def _stay(agents: Agents, run_dir: Path, told: Told) -> int:
    say("Ctrl-C stops everything")
    try:
        with told(run_dir, say):
            return agents.wait()
    except KeyboardInterrupt:
        agents.stop(say)
        return agents.wait()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
