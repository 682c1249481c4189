"""``pdsup help``: what there is."""

from __future__ import annotations

import argparse

from supervisor.cli.catalogue import VERBS

EXAMPLE = "pdsup help status"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of what."""
    parser.add_argument("verb", nargs="?", metavar="VERB", help="one of them (default: all)")


def run(args: argparse.Namespace) -> int:
    """The verbs with a line each, or what ``pdsup VERB --help`` says of one."""
    if args.verb is not None:
        from supervisor.cli import main  # late: the list of verbs imports none of them

        main.known(args.verb, "explain")
        print(main.parser_of(args.verb).format_help(), end="")
        return 0
    print("usage: pdsup VERB [ARGS]     (pdsup help VERB tells the arguments)\n")
    for name, summary in VERBS.items():
        print(f"  {name:10} {summary}")
    return 0
