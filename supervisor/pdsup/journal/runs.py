"""The runs of a unit, as the entries of the journal tell them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pdsup.journal.entry import Entry
from pdsup.units.public_state import PublicState

# How a run ended whose agent died with it.
LOST = "it was gone when its agent came back"


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a unit; times are seconds since the epoch, None for what has not happened.

    ``how``: why and how it ended. ``failed``: nobody asked for its end.
    """

    unit: str
    node: str
    number: int | None
    began: float
    ready: float | None = None
    ended: float | None = None
    how: str = ""
    failed: bool = False


def steps(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """For each unit the entries that tell its state, in order: all that follow states go by them.

    Not those of what happens to a unit without one, such as a reload.
    """
    found: dict[str, list[Entry]] = {}
    for one in entries:
        if one.unit and one.to is not None:
            found.setdefault(one.unit, []).append(one)
    return found


def runs(entries: Iterable[Entry]) -> list[Run]:
    """Every run of one unit, the oldest first; ``entries`` are its ``steps``."""
    found: list[Run] = []
    why = ""
    for one in entries:
        going = found and found[-1].ended is None
        if going and _ends(one, found[-1]):
            found[-1] = _ended(found[-1], one, why)
            going = False
        if one.to is PublicState.STARTING and not going:
            found.append(Run(one.unit, one.node, one.run, one.at))
        elif going and one.to is PublicState.RUNNING and found[-1].ready is None:
            found[-1] = replace(found[-1], ready=one.at)
        why = one.short_reason if one.to is PublicState.STOPPING else ""
    return found


def _ends(one: Entry, run: Run) -> bool:
    """Also when another run begins at once, or after an agent that could not tell."""
    another = one.to is PublicState.STARTING and one.run != run.number
    return another or _is_down(one.to)


def _is_down(state: PublicState | None) -> bool:
    return state is not None and not state.has_process


def _ended(run: Run, one: Entry, why: str) -> Run:
    """``why``: what its stop was for, where it was stopped."""
    lost = LOST if _is_down(one.before) else ""
    how = why or lost or one.short_reason or str(one.exit or "ended")
    failed = one.to is not None and one.to.follows_a_failure
    return replace(run, ended=one.at, how=how, failed=failed)


def to_json(run: Run) -> dict[str, Any]:
    """A run as the explanation and the report give it."""
    return {
        "run": run.number,
        "began": run.began,
        "ready": run.ready,
        "ended": run.ended,
        "how": run.how,
        "failed": run.failed,
    }
