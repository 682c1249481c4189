"""Fits what is said to where it goes: a terminal, with colours and a width, or a pipe or file."""

from __future__ import annotations

import os
from typing import TextIO


def can_paint(stream: TextIO) -> bool:
    """Whether it is a terminal on which something can be painted again and again."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def is_coloured(stream: TextIO) -> bool:
    """Whether colours are shown, and wanted: ``NO_COLOR`` says that they are not."""
    return can_paint(stream) and not os.environ.get("NO_COLOR")


def width(stream: TextIO) -> int | None:
    """Characters in a line of the terminal; None where it is none, and nothing need be cut."""
    if not stream.isatty():
        return None
    import shutil  # late: a pipe has no width

    return shutil.get_terminal_size().columns
