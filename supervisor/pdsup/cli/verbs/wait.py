"""``pdsup wait``: returns when the cluster is up, or down."""

from __future__ import annotations

import argparse

from pdsup.cli import options
from pdsup.cli.screens.waiting import on_stderr
from pdsup.cli.terminal.say import say
from pdsup.cli.wait import Outcome, Wait, reaches

EXAMPLE = "pdsup wait --timeout 3600 && ./benchmark.sh"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    options.units(parser)
    parser.add_argument(
        "--for",
        dest="goal",
        choices=("running", "stopped"),
        default="running",
        help="what to wait for",
    )
    options.timeout(
        parser, "seconds to wait (default: no limit, but 10 min if no agent ever answers)"
    )
    options.as_json(parser, "print one JSON value at the end, with what is missing")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 if they are; 1 if they can no longer become so, as when their run has ended
    or one was stopped by hand; 4 if there is no such run directory or unit; 124 if it timed out.
    """
    with on_stderr(reaches(args.goal)) as view:
        wait = Wait(args.run_dir, args.units, args.goal, view, purpose=f"wait for {args.goal}")
        outcome = wait.watch(args.timeout)
    if args.json:
        import json

        found = {"goal": args.goal, "outcome": outcome.name.lower(), "missing": wait.missing}
        print(json.dumps(found, indent=2))
    elif outcome is not Outcome.REACHED:
        say(f"pdsup: gave up waiting: {wait.why(outcome)}")
    return outcome.value
