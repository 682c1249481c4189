"""``pdsup version``: prints the version."""

from __future__ import annotations

import argparse

from pdsup import __version__
from pdsup.cli import options

EXAMPLE = "pdsup version"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    options.as_json(parser, "print one JSON value")


def run(args: argparse.Namespace) -> int:
    """Prints the installed version; ``status --json`` shows the version of each agent."""
    print(f'{{"version": "{__version__}"}}' if args.json else f"pdsup {__version__}")
    return 0
