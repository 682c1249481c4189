"""``pdsup signal``: signals the main processes of units."""

from __future__ import annotations

import argparse
import signal

from pdsup.cli import command
from pdsup.errors import WrongUsage

EXAMPLE = "pdsup signal USR1 nginx"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.add_argument("signal", metavar="SIG", help="signal name or number: HUP, SIGHUP or 1")
    command.arguments(parser, 0.0)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 if every unit got the signal; 1 if one has no process."""
    return command.signal(_number(args.signal), args)


def _number(text: str) -> int:
    name = text.upper().removeprefix("SIG")
    known = signal.Signals.__members__.get(f"SIG{name}")
    if known is not None:
        return int(known)
    if name.isdecimal() and int(name) in signal.valid_signals():
        return int(name)
    raise WrongUsage(f"cannot send {text}: no such signal; give a name or a number as kill -l does")
