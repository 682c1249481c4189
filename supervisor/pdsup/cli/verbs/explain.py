"""``pdsup explain``: explains why a unit is in its state."""

from __future__ import annotations

import argparse
import sys

from pdsup import clock, typed
from pdsup.cli import client, options
from pdsup.cli.explain import investigate
from pdsup.cli.screens.explain import story, to_json
from pdsup.cli.terminal import fit

EXAMPLE = "pdsup explain decode-0"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("unit", metavar="UNIT", help="name of the unit")
    options.as_json(parser, "print one JSON value instead of text")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Shows the unit's state, since when and why; while it loads, when it is usually ready; who
    asked for it last; its command line, ports, processes, and the latest answer to each check; each
    condition of its gate; its last three runs with the end of their output; what happens next and
    when; and where its evidence and log are.
    """
    found = investigate(client.seen(args.run_dir, f"explain {args.unit}"), args.unit)
    if args.json:
        print(typed.dumps(to_json(found), indent=2))
    else:
        print("\n".join(story(found, clock.wall(), fit.width(sys.stdout))))
    return 0
