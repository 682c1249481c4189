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
from pdsup.units.states import FOREVER

JOURNALS = "events"
# Of the end of a journal: more than a hundred lines, and one look in most cases.
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
        """Whether the journal tells a step, one of the last. Lines are in the order of what they
        tell, so from the end it is read as far as to something earlier.
        """
        now, most = step.context.now, END_BYTES
        with contextlib.suppress(OSError):
            while True:
                end = self._end(most)
                found = [one for line in end.splitlines() if (one := entry.parse(line))]
                if len(end) < most or any(_moment(one) < now for one in found):
                    return any((one.unit, _moment(one)) == (step.unit, now) for one in found)
                most *= 8
        return False

    def write(self, news: Transition | Happening, wall: float) -> str | None:
        """Why the line could not be written, if so: a full disk does not stop supervision.

        ``wall``: seconds since the epoch.
        """
        line = entry.line(news, self._node, wall)
        try:
            # What a full disk or the end of an agent has cut off must not spoil the line behind it.
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
        """At most so many bytes of the last lines, of which the first may lack its begin; empty
        where there is no file.
        """
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read()
        return b""


def _moment(told: Entry) -> float:
    """Monotonic seconds; for ever where a line has none."""
    moment = told.raw.get("monotonic")
    return moment if isinstance(moment, int | float) else FOREVER
