"""What a unit was at each moment of a run: spans of states without a gap. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pdsup.journal.entry import Entry
from pdsup.units.public_state import PublicState


@dataclass(frozen=True, slots=True)
class Span:
    """One state from ``begin`` to ``end``, seconds since the epoch; the first reason there was."""

    state: PublicState
    begin: float
    end: float
    reason: str


def spans(entries: Iterable[Entry], end: float) -> list[Span]:
    """The spans of one unit, from the first of its ``runs.steps`` to ``end``."""
    found: list[Span] = []
    for one in entries:
        if one.to is None:
            continue
        if found and found[-1].state is one.to:
            found[-1] = replace(found[-1], reason=found[-1].reason or one.reason)
            continue
        if found:
            found[-1] = replace(found[-1], end=max(found[-1].begin, one.at))
        found.append(Span(one.to, one.at, one.at, one.reason))
    if found:
        found[-1] = replace(found[-1], end=max(found[-1].begin, end))
    return found


STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def ticks(begin: float, end: float, offset: float, most: int = 8) -> list[float]:
    """Round times between ``begin`` and ``end``, at most ``most``.

    ``offset``: seconds that the local time is ahead of UTC, so that round means round to people.
    """
    length = max(end - begin, 1.0)
    step = next((step for step in STEPS if length / step < most), -(-length // most))
    first = -(-(begin + offset) // step) * step - offset
    count = int((end - first) // step) + 1 if end >= first else 0
    return [first + i * step for i in range(min(count, most))]
