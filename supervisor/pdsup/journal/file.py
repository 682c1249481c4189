"""The journal files of a run: appends this node's, reads those of all nodes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pdsup.errors import SupervisorError
from pdsup.journal import entry
from pdsup.journal.entry import Entry, Happening
from pdsup.node.assignment import Place
from pdsup.units.facts import Transition

JOURNALS = "events"
# Holds the last line and, above it, what does not follow from a step of a unit.
END_BYTES = 1 << 16


class Journals:
    """The journals in a run directory, which all nodes share."""

    def __init__(self, run_dir: Path) -> None:
        self._directory = run_dir / JOURNALS
        self._read: dict[Path, int] = {}

    def news(self) -> list[Entry]:
        """What was written since the last call, of all nodes, in the order of time.

        A line that is not complete yet comes next time. Raises SupervisorError when a journal
        can't be read.
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
            # A file that shrank was cut or replaced: begin again.
            position = self._read.get(path, 0)
            file.seek(position if file.seek(0, 2) >= position else 0)
            begin = file.tell()
            complete, end, _ = file.read().rpartition(b"\n")
        self._read[path] = begin + len(complete) + len(end)
        found = (entry.parse(line) for line in complete.split(b"\n"))
        return [one for one in found if one is not None]


class Journal:
    """Appends to ``events/NODE.jsonl`` of the run directory."""

    def __init__(self, place: Place) -> None:
        self._node = place.node
        self.path = Path(place.run_dir, "events", f"{place.node}.jsonl")
        self._whole = False  # whether the last line is known to be complete

    def has(self, step: Transition) -> bool:
        """Whether one of the last lines tells a step."""
        with contextlib.suppress(OSError):
            found = map(entry.parse, self._end().splitlines())
            told = {(one.unit, one.raw.get("monotonic")) for one in found if one}
            return (step.unit, step.context.now) in told
        return False

    def write(self, news: Transition | Happening, wall: float) -> str | None:
        """Why the line could not be written, if so: a full disk does not stop supervision.

        ``wall``: seconds since the epoch.
        """
        line = entry.line(news, self._node, wall)
        try:
            # What a full disk or the end of an agent has cut off must not spoil the line behind it.
            if not self._whole and (end := self._end()) and not end.endswith(b"\n"):
                line = f"\n{line}"
            self._whole = False
            with self.path.open("a") as file:
                file.write(line)
            self._whole = True
        except OSError as error:
            return error.strerror or str(error)
        return None

    def _end(self) -> bytes:
        """The last lines, of which the first may lack its begin; empty where there is no file."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - END_BYTES))
            return file.read()
        return b""
