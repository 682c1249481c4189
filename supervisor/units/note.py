"""What must be known of a unit to take it over from an agent that is gone. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supervisor.units import notation
from supervisor.units.facts import Facts, LastExit, Place
from supervisor.units.states import ExitStatus, State
from supervisor.units.tree import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One unit at one moment.

    ``since``: wall seconds of the state; ``spawned``: monotonic seconds of the run's start.
    ``main``: its main process, None while that is not known; ``tag``: what all of the run carry,
    noted before the process is there. ``log``: where the run's output begins. ``ended``: the main
    process is gone, not yet all of its tree. ``was_ready``: it has been RUNNING, in whatever run.
    ``made``: the fingerprint (``plan/changes.py``) of what the run was started as; "": not known.
    """

    unit: str
    state: State
    run: int
    since: float
    spawned: float | None
    main: Identity | None
    tag: int | None
    log: Place | None
    ended: bool
    was_ready: bool
    last_exit: LastExit | None
    made: str = ""

    @property
    def facts(self) -> Facts:
        """What an agent that takes the unit over knows of it."""
        alive = self.main is not None and not self.ended
        return Facts(
            state=self.state,
            pid=self.main[0] if self.main and alive else None,
            run=self.run,
            since=self.since,
            started=self.spawned if alive else None,
            detail="",
            last_exit=self.last_exit,
        )


def write(note: Note) -> str:
    """One line of JSON, without its line feed."""
    last = note.last_exit
    values = {
        "unit": note.unit,
        "state": notation.tagged(note.state),
        "run": note.run,
        "since": note.since,
        "spawned": note.spawned,
        "main": note.main,
        "tag": note.tag,
        "log": note.log,
        "ended": note.ended,
        "was_ready": note.was_ready,
        "last": [last.status.code, last.status.signal, last.at] if last else None,
        "made": note.made,
    }
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


def read(values: Mapping[str, Any]) -> Note:
    """The note that ``write`` wrote; raises ValueError when it is of another version."""
    try:
        main, last, log = values["main"], values["last"], values["log"]
        return Note(
            unit=values["unit"],
            state=notation.state(values["state"]),
            run=values["run"],
            since=values["since"],
            spawned=values["spawned"],
            main=(main[0], main[1]) if main else None,
            tag=values["tag"],
            log=(log[0], log[1], log[2]) if log else None,
            ended=values["ended"],
            was_ready=values["was_ready"],
            last_exit=LastExit(ExitStatus(last[0], last[1]), last[2]) if last else None,
            made=values.get("made", ""),
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no note of this version: {values!r}") from error
