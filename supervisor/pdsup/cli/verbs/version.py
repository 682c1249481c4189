"""``pdsup version``."""

from __future__ import annotations

import argparse

from pdsup import __version__
from pdsup.cli import options

EXAMPLE = "pdsup version"


def arguments(parser: argparse.ArgumentParser) -> None:
    """In which form."""
    options.as_json(parser, "one JSON value")


def run(args: argparse.Namespace) -> int:
    """The version that is installed here; ``status --json`` has that of each agent."""
    print(f'{{"version": "{__version__}"}}' if args.json else f"pdsup {__version__}")
    return 0
