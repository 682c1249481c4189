"""Reads what a unit writes to its log while it runs: whole lines, each once, from a place on."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from supervisor.units.logreader import LogReader, Place, inode, last_lines

# Of what came since the last look, so much of the end is read: a flood is no reason to stop.
MOST = 1 << 20  # bytes
_MARKER = re.compile(r"=== \S+ \S+ run \d+ begins")


class Follower:
    """One run's output, from byte ``start`` of the file on, across rotation."""

    def __init__(self, path: str, start: int) -> None:
        self._path = path
        self._place = Place(inode(path), start)
        self._rest = b""

    def lines(self) -> list[str]:
        """The lines that were finished since the last call. Raises OSError."""
        with contextlib.closing(LogReader(self._path)) as reader:
            if not reader.go_on(self._place, MOST):
                self._rest = b""
            got = self._rest
            for piece in reader.more():
                got = (got + piece.data)[-MOST:]
            self._place = reader.place
        # A progress bar draws over its line: each drawing is a line of its own here.
        *whole, self._rest = got.replace(b"\r", b"\n").split(b"\n")
        return [line.decode(errors="replace") for line in whole if line]


def tail(path: str, start: int, most: int) -> list[str]:
    """The last lines of a run's output, out of at most ``most`` bytes.

    ``start``: where it begins in the newest part of the log, 0 when it may begin in an earlier one.
    Nothing when the log can't be read.
    """
    with contextlib.suppress(OSError):
        size = Path(path).stat().st_size
        most = min(most, size - start) if 0 < start <= size else most
    lines = last_lines(path, most, most)
    begin = max((at for at, line in enumerate(lines) if _MARKER.match(line)), default=-1)
    return [one for line in lines[begin + 1 :] for one in line.split("\r") if one.strip()]
