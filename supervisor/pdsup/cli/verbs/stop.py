"""``pdsup stop``: units end, and stay down until somebody starts them."""

from __future__ import annotations

import argparse

from pdsup.cli import command

EXAMPLE = "pdsup stop router-1"
TIMEOUT_S = 300.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which units, and how long to wait."""
    command.arguments(parser, TIMEOUT_S)


def run(args: argparse.Namespace) -> int:
    """0: nothing of them is left; 124: something still is, and is being stopped."""
    return command.carry_out("stop", args)
