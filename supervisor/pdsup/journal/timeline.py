"""The states of a unit over time, as spans without gaps, and the ticks of a time axis. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pdsup.journal.entry import Entry
from pdsup.units.public_state import PublicState


@dataclass(frozen=True, slots=True)
class Span:
    """One state from ``begin`` to ``end`` (seconds since the epoch), with its first reason."""

    state: PublicState
    begin: float
    end: float
    reason: str


def spans(entries: Iterable[Entry], end: float) -> list[Span]:
    """The spans of one unit, from the first of its ``runs.steps`` to ``end``."""
    result: list[Span] = []
    for entry in entries:
        if entry.to is None:
            continue
        if result and result[-1].state is entry.to:
            result[-1] = replace(result[-1], reason=result[-1].reason or entry.reason)
            continue
        if result:
            result[-1] = replace(result[-1], end=max(result[-1].begin, entry.at))
        result.append(Span(entry.to, entry.at, entry.at, entry.reason))
    if result:
        result[-1] = replace(result[-1], end=max(result[-1].begin, end))
    return result


STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def ticks(begin: float, end: float, offset: float, most: int = 8) -> list[float]:
    """At most ``most`` round times between ``begin`` and ``end``, for a time axis.

    ``offset``: by how many seconds local time is ahead of UTC; times are round in local time.
    """
    length = max(end - begin, 1.0)
    step = next((step for step in STEPS if length / step < most), -(-length // most))
    first = -(-(begin + offset) // step) * step - offset
    count = int((end - first) // step) + 1 if end >= first else 0
    return [first + i * step for i in range(min(count, most))]
