"""Says something to a person, on stderr: stdout is for answers."""

from __future__ import annotations

import contextlib
import sys

from pdsup.cli.terminal import fit
from pdsup.cli.terminal.fold import folded


def say(text: str) -> None:
    """Lines for people, folded on a terminal: stdout is for answers.

    Where nobody reads any more, or it can't be written, what goes on must be brought to its end
    all the same.
    """
    with contextlib.suppress(OSError):
        shown = folded(text.split("\n"), fit.width(sys.stderr))
        print("\n".join(shown), file=sys.stderr, flush=True)
