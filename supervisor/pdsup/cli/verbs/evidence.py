"""``pdsup evidence``: collects evidence of units now."""

from __future__ import annotations

import argparse

from pdsup.cli import command

EXAMPLE = "pdsup evidence decode-0"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    command.arguments(parser, 0.0)


def run(args: argparse.Namespace) -> int:
    """Collects what is also collected before a hung unit is stopped: stacks, processes, sockets,
    GPUs, answers of probes and the end of the log. It does not disturb the unit, and prints the
    directory. Exit status: 0 if there is evidence of every unit; 1 if one has no process, or runs
    on another machine.
    """
    return command.evidence(args)
