"""``pdsup start``: units that were stopped, or that gave up, are wanted up again."""

from __future__ import annotations

import argparse

from pdsup.cli import command

EXAMPLE = "pdsup start 'decode-*'"
# Long enough for a model to load.
TIMEOUT_S = 3600.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which units, and how long to wait."""
    command.arguments(parser, TIMEOUT_S)


def run(args: argparse.Namespace) -> int:
    """0: all of them run; 1: one gave up; 124: one is not ready in time, and goes on."""
    return command.carry_out("start", args)
