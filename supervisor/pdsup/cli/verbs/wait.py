"""``pdsup wait``: returns when the cluster is up, or down."""

from __future__ import annotations

import argparse

from pdsup.cli import options
from pdsup.cli.screens.waiting import on_stderr
from pdsup.cli.terminal.say import say
from pdsup.cli.wait import Outcome, Wait, reaches

EXAMPLE = "pdsup wait --timeout 3600 && ./benchmark.sh"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to wait for, and how long."""
    options.units(parser)
    parser.add_argument(
        "--for", dest="goal", choices=("running", "stopped"), default="running", help="the goal"
    )
    options.timeout(parser, "seconds (default: no limit)")
    options.as_json(parser, "at the end one JSON value with what is missing")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """0 reached, 1 can no longer be reached, 124 timed out."""
    with on_stderr(reaches(args.goal)) as view:
        wait = Wait(args.run_dir, args.units, args.goal, view)
        outcome = wait.watch(args.timeout)
    if args.json:
        import json

        found = {"goal": args.goal, "outcome": outcome.name.lower(), "missing": wait.missing}
        print(json.dumps(found, indent=2))
    elif outcome is not Outcome.REACHED:
        say(f"pdsup: cannot wait for {args.goal}: {wait.why(outcome)}")
    return outcome.value
