"""Prints messages for people to stderr; stdout is for results."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pdsup.cli.terminal import fit
from pdsup.cli.terminal.fold import COLOURS, folded
from pdsup.printable import printable

if TYPE_CHECKING:
    from pdsup.errors import Problem


def warn(file: str, warnings: Iterable[Problem]) -> None:
    """Prints the warnings about a recipe, one a line."""
    for warning in warnings:
        say(warning.at(file))


def say(text: str) -> None:
    """Prints lines to stderr, folded on a terminal.

    A failing stderr (closed pipe, full disk) is ignored: the command must finish its work.
    """
    with contextlib.suppress(OSError):
        shown = folded(map(_harmless, text.split("\n")), fit.width(sys.stderr))
        print("\n".join(shown), file=sys.stderr, flush=True)


def _harmless(line: str) -> str:
    """The line, which may quote others, with no control sequences but its own colours."""
    if line.isprintable():
        return line
    parts = COLOURS.split(line)  # text and colours in turn
    return "".join(part if i % 2 else printable(part) for i, part in enumerate(parts))
