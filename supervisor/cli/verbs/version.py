"""``pdsup version``."""

from __future__ import annotations

import argparse

from supervisor import __version__

EXAMPLE = "pdsup version"


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(args: argparse.Namespace) -> int:
    """Prints it."""
    print(f"pdsup {__version__}")
    return 0
