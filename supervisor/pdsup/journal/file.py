"""The journal files of a run: appends to this node's, reads those of all nodes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pdsup.errors import SupervisorError
from pdsup.journal import entry
from pdsup.journal.entry import Entry, Happening
from pdsup.node.assignment import Place
from pdsup.units.facts import Transition
from pdsup.units.states import FOREVER

JOURNALS = "events"
# How much of a journal's end to read at first: more than a hundred lines.
END_BYTES = 1 << 16


class Journals:
    """Reads the journals of all nodes from the shared run directory."""

    def __init__(self, run_dir: Path) -> None:
        self._directory = run_dir / JOURNALS
        self._read: dict[Path, int] = {}

    def news(self) -> list[Entry]:
        """Returns the entries of all nodes since the last call, ordered by time.

        A line that is not complete yet is returned next time. Raises SupervisorError if a journal
        cannot be read.
        """
        try:
            paths = sorted(self._directory.glob("*.jsonl"))
            return entry.merged([self._news_of(path) for path in paths])
        except OSError as error:
            raise SupervisorError(
                f"cannot read the journal {error.filename}: {error.strerror}"
            ) from None

    def _news_of(self, path: Path) -> list[Entry]:
        with path.open("rb") as file:
            # A file that has shrunk was truncated or replaced: start over.
            position = self._read.get(path, 0)
            file.seek(position if file.seek(0, 2) >= position else 0)
            begin = file.tell()
            complete, end, _ = file.read().rpartition(b"\n")
        self._read[path] = begin + len(complete) + len(end)
        entries = (entry.parse(line) for line in complete.split(b"\n"))
        return [each for each in entries if each is not None]


class Journal:
    """Appends to ``events/NODE.jsonl`` of the run directory."""

    def __init__(self, place: Place) -> None:
        self._node = place.node
        self.path = Path(place.run_dir, "events", f"{place.node}.jsonl")
        self._whole = False  # whether the last line is known to be complete

    def has(self, step: Transition) -> bool:
        """Whether the journal contains a step, which must be one of the last. Lines are in order
        of time, so it reads backwards until it finds an earlier line.
        """
        now, most = step.context.now, END_BYTES
        with contextlib.suppress(OSError):
            while True:
                end = self._end(most)
                last = [each for line in end.splitlines() if (each := entry.parse(line))]
                if len(end) < most or any(_moment(each) < now for each in last):
                    return any((each.unit, _moment(each)) == (step.unit, now) for each in last)
                most *= 8
        return False

    def write(self, news: Transition | Happening, wall: float) -> str | None:
        """Appends a line; returns why that failed, if it did, since a full disk must not stop
        supervision. ``wall``: seconds since the epoch.
        """
        line = entry.line(news, self._node, wall)
        try:
            # A line that a full disk or a killed agent has cut short must not spoil the next one.
            if not self._whole and self._end(1) not in (b"", b"\n"):
                line = f"\n{line}"
            self._whole = False
            with self.path.open("a") as file:
                file.write(line)
            self._whole = True
        except OSError as error:
            return error.strerror or str(error)
        return None

    def _end(self, most: int) -> bytes:
        """The last ``most`` bytes, which may begin within a line; empty if there is no file."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read()
        return b""


def _moment(line: Entry) -> float:
    """The monotonic seconds of an entry; infinity if it has none."""
    moment = line.raw.get("monotonic")
    return moment if isinstance(moment, int | float) else FOREVER
