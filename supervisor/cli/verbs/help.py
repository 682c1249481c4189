"""``pdsup help``: what there is."""

from __future__ import annotations

import argparse

from supervisor.cli.catalogue import VERBS

EXAMPLE = "pdsup help"


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(args: argparse.Namespace) -> int:
    """Prints the verbs with a line each."""
    print("usage: pdsup VERB [ARGS]     (pdsup VERB --help tells the arguments)\n")
    for name, summary in VERBS.items():
        print(f"  {name:10} {summary}")
    return 0
