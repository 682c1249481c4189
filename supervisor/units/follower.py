"""Reads what a unit writes to its log while it runs: whole lines, each once, from a place on."""

from __future__ import annotations

import os
from pathlib import Path

# Of what came since the last look, so much of the end is read: a flood is no reason to stop.
MOST = 1 << 20  # bytes


class Follower:
    """One run's output, from byte ``start`` of the file on."""

    def __init__(self, path: str, start: int) -> None:
        self._path = path
        self._place = start
        self._rest = b""

    def lines(self) -> list[str]:
        """The lines that were finished since the last call. Raises OSError."""
        with Path(self._path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < self._place:  # it was cut: whatever it holds is new
                self._place, self._rest = 0, b""
            if size - self._place > MOST:
                self._place, self._rest = size - MOST, b""
            file.seek(self._place)
            got = self._rest + file.read(MOST)
            self._place = file.tell()
        # A progress bar draws over its line: each drawing is a line of its own here.
        *whole, self._rest = got.replace(b"\r", b"\n").split(b"\n")
        return [line.decode(errors="replace") for line in whole if line]


def tail(path: str, start: int, most: int) -> list[str]:
    """The last lines of a run's output, from byte ``start`` on, out of at most ``most`` bytes.

    Nothing when the file can't be read.
    """
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            begin = start if start <= size else 0
            file.seek(max(begin, size - most))
            got = file.read(most)
    except OSError:
        return []
    lines = got.replace(b"\r", b"\n").decode(errors="replace").split("\n")
    return [line for line in lines if line.strip()]
