"""Prints messages for people to stderr; stdout is for results."""

from __future__ import annotations

import contextlib
import sys

from pdsup.cli.terminal import fit
from pdsup.cli.terminal.fold import folded


def say(text: str) -> None:
    """Prints lines to stderr, folded on a terminal.

    A failing stderr (closed pipe, full disk) is ignored: the command must finish its work.
    """
    with contextlib.suppress(OSError):
        shown = folded(text.split("\n"), fit.width(sys.stderr))
        print("\n".join(shown), file=sys.stderr, flush=True)
