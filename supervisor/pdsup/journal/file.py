"""The journal files of a run: reads those of all nodes."""

from __future__ import annotations

import os
from pathlib import Path

from pdsup import clock
from pdsup.errors import SupervisorError
from pdsup.files import open_regular
from pdsup.journal import axis, entry
from pdsup.journal.entry import Entry
from pdsup.node.paths import JOURNALS


class Journals:
    """Reads the journals of all nodes from the shared run directory. ``most``: how many bytes from
    the end of each are read at first; all by default.
    """

    def __init__(self, run_dir: Path, most: int | None = None) -> None:
        self._most = most
        self._directory = run_dir / JOURNALS
        self._read: dict[Path, int] = {}
        self._here = clock.wall() - clock.monotonic()
        self._offsets = {clock.boot(): self._here}

    def here(self, monotonic: float) -> float:
        """A moment of this machine as seconds since the epoch, on the axis of the entries."""
        return round(monotonic + self._here, 6)

    def at(self, monotonic: float, boot: str) -> float | None:
        """A moment as seconds since the epoch, on the axis of the entries; None if they are of
        other boots.
        """
        offset = self._offsets.get(boot)
        return None if offset is None else round(monotonic + offset, 6)

    def news(self) -> list[Entry]:
        """Returns the entries of all nodes since the last call, ordered by time (``axis.py``).

        A line that is not complete yet is returned next time. Raises SupervisorError if a journal
        cannot be read.
        """
        try:
            paths = sorted(self._directory.glob("*.jsonl"))
            journals = [self._news_of(path) for path in paths]
        except OSError as error:
            raise SupervisorError(
                f"cannot read the journal {error.filename}: {error.strerror}"
            ) from None
        self._offsets = axis.offsets(journals, self._offsets)
        return entry.merged([axis.placed(each, self._offsets) for each in journals])

    def _news_of(self, path: Path) -> list[Entry]:
        with os.fdopen(open_regular(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            # A file that has shrunk was truncated or replaced: start over.
            size, position = file.seek(0, os.SEEK_END), self._read.get(path)
            if position is None and self._most is not None and size > self._most:
                file.seek(size - self._most)
                file.readline()  # begins within a line, or with one that is left out too
            else:
                file.seek(position if position is not None and size >= position else 0)
            begin = file.tell()
            complete, end, _ = file.read().rpartition(b"\n")
        self._read[path] = begin + len(complete) + len(end)
        entries = (entry.parse(line) for line in complete.split(b"\n"))
        return [each for each in entries if each is not None]
