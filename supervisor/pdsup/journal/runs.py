"""Reconstructs the runs of a unit from the entries of the journal. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pdsup.journal.entry import Entry
from pdsup.units.public_state import PublicState

# How a run ended that was gone when a new agent came: nobody saw its end.
LOST = "it was gone when its agent came back"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a unit; times are seconds since the epoch, None for what has not happened yet.

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
    """Groups the entries that are state changes by unit, in order.

    Other entries about a unit, such as a reload, are left out.
    """
    by_unit: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.unit and entry.to is not None:
            by_unit.setdefault(entry.unit, []).append(entry)
    return by_unit


def runs(entries: Iterable[Entry]) -> list[Run]:
    """The runs of one unit, the oldest first; ``entries`` are its ``steps``."""
    found: list[Run] = []
    why = ""
    for entry in entries:
        going = found and found[-1].ended is None
        if going and _ends(entry, found[-1]):
            found[-1] = _ended(found[-1], entry, why)
            going = False
        if entry.to is PublicState.STARTING and not going:
            found.append(Run(entry.unit, entry.node, entry.run, entry.at))
        elif going and entry.to is PublicState.RUNNING and found[-1].ready is None:
            found[-1] = replace(found[-1], ready=entry.at)
        why = entry.short_reason if entry.to is PublicState.STOPPING else ""
    return found


def _ends(entry: Entry, run: Run) -> bool:
    """Whether an entry ends a run: the unit is down, or another run has begun meanwhile."""
    another = entry.to is PublicState.STARTING and entry.run != run.number
    return another or _is_down(entry.to)


def _is_down(state: PublicState | None) -> bool:
    return state is not None and not state.has_process


def _ended(run: Run, entry: Entry, why: str) -> Run:
    """The run with its end. ``why``: the reason for its stop, if it was stopped."""
    lost = LOST if _is_down(entry.before) else ""
    how = why or lost or entry.short_reason or str(entry.exit or "ended")
    failed = entry.to is not None and entry.to.follows_a_failure
    return replace(run, ended=entry.at, how=how, failed=failed)


def to_json(run: Run) -> dict[str, Any]:
    """Encodes a run for ``explain`` and ``report``."""
    return {
        "run": run.number,
        "began": run.began,
        "ready": run.ready,
        "ended": run.ended,
        "how": run.how,
        "failed": run.failed,
    }
