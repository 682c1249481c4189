"""Reads the journals of all nodes of a run, and what is written to them meanwhile."""

from __future__ import annotations

from pathlib import Path

from supervisor.api import history
from supervisor.api.history import Entry
from supervisor.errors import SupervisorError

JOURNALS = "events"


class Chronicler:
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
            return history.merged([self._news_of(path) for path in paths])
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
        found = (history.entry(line) for line in complete.split(b"\n"))
        return [one for one in found if one is not None]
