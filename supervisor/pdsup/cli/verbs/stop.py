"""``pdsup stop``: stops units; they stay down until they are started."""

from __future__ import annotations

import argparse

from pdsup.cli import command

EXAMPLE = "pdsup stop router-1"
TIMEOUT_S = 300.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    command.arguments(parser, TIMEOUT_S)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 if all are down; 1 if a later start or restart overtook this;
    124 if one is still
    stopping at the timeout.
    """
    return command.carry_out("stop", args)
