"""``pdsup restart``: restarts units, routers one after another."""

from __future__ import annotations

import argparse

from pdsup.cli import command
from pdsup.cli.verbs.start import TIMEOUT_S

EXAMPLE = "pdsup restart 'router-*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    command.arguments(parser, TIMEOUT_S)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 if all are ready again; 1 if a unit gave up, or a later stop overtook this;
    124
    if one is not ready at the timeout (it is still starting).
    """
    return command.carry_out("restart", args)
