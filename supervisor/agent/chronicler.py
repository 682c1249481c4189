"""Writes the journal of one node: each change of a unit's state, and whatever else happens."""

from __future__ import annotations

from pathlib import Path

from supervisor.agent import journal
from supervisor.agent.journal import Happening
from supervisor.assignment.compile import Place
from supervisor.units.facts import Transition


class Chronicler:
    """Appends to ``events/NODE.jsonl`` of the run directory."""

    def __init__(self, place: Place) -> None:
        self._node = place.node
        self.path = Path(place.run_dir, "events", f"{place.node}.jsonl")

    def write(self, news: Transition | Happening, wall: float) -> str | None:
        """Why the line could not be written, if so: a full disk does not stop supervision.

        ``wall``: seconds since the epoch.
        """
        line = journal.line(news, self._node, wall)
        try:
            with self.path.open("a") as file:
                file.write(line)
        except OSError as error:
            return error.strerror or str(error)
        return None
