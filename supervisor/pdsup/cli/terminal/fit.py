"""Tells what a stream can show: colours and a width on a terminal, neither in a pipe or file."""

from __future__ import annotations

import os
from typing import TextIO


def can_paint(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can be repainted."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def is_coloured(stream: TextIO) -> bool:
    """Whether the stream shows colours and ``NO_COLOR`` is not set."""
    return can_paint(stream) and not os.environ.get("NO_COLOR")


def width(stream: TextIO) -> int | None:
    """The width of the terminal in characters; None if the stream is not a terminal."""
    if not stream.isatty():
        return None
    import shutil  # late: a pipe has no width

    return shutil.get_terminal_size().columns
