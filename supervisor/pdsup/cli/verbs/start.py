"""``pdsup start``: starts units that were stopped or gave up."""

from __future__ import annotations

import argparse

from pdsup.cli import command

EXAMPLE = "pdsup start 'decode-*'"
# Long enough for a model to load.
TIMEOUT_S = 3600.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    command.arguments(parser, TIMEOUT_S)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 if all are ready; 1 if a unit gave up, or a later stop overtook this;
    124 if one
    is not ready at the timeout (it is still starting).
    """
    return command.carry_out("start", args)
