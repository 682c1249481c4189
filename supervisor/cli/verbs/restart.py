"""``pdsup restart``: units end and begin afresh, routers one after another."""

from __future__ import annotations

import argparse

from supervisor.cli import commander
from supervisor.cli.verbs.start import TIMEOUT_S

EXAMPLE = "pdsup restart 'router-*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which units, and how long to wait."""
    commander.arguments(parser, TIMEOUT_S)


def run(args: argparse.Namespace) -> int:
    """0: all of them run afresh; 1: one gave up; 124: one is not ready in time, and goes on."""
    return commander.carry_out("restart", args)
