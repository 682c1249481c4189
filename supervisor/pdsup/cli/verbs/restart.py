"""``pdsup restart``: units end and begin afresh, routers one after another."""

from __future__ import annotations

import argparse

from pdsup.cli import command
from pdsup.cli.verbs.start import TIMEOUT_S

EXAMPLE = "pdsup restart 'router-*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which units, and how long to wait."""
    command.arguments(parser, TIMEOUT_S)


def run(args: argparse.Namespace) -> int:
    """0: all of them run afresh; 1: one gave up; 124: one is not ready in time, and goes on."""
    return command.carry_out("restart", args)
