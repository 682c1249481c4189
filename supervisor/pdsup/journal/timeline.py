"""The states of a unit over time, as spans without gaps, and the ticks of a time axis. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pdsup.journal.entry import Entry
from pdsup.units.public_state import PublicState


@dataclass(frozen=True, slots=True)
class Span:
    """One state from ``begin`` to ``end`` (seconds since the epoch), with its first reason.

    ``ready``: the unit was RUNNING and could be used.
    """

    state: PublicState
    begin: float
    end: float
    reason: str
    ready: bool


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
        ready = entry.to is PublicState.RUNNING
        result.append(Span(entry.to, entry.at, entry.at, entry.reason, ready))
    if result:
        result[-1] = replace(result[-1], end=max(result[-1].begin, end))
    return result


NO_ROUTER = "no router was ready, so it answered 503"


def behind_routers(nginx: Iterable[Span], routers: Iterable[Iterable[Span]]) -> list[Span]:
    """The spans of an nginx, split so that it is ready only while one of its routers is."""
    times = _merged((span.begin, span.end) for own in routers for span in own if span.ready)
    return [part for span in nginx for part in (_split(span, times) if span.ready else [span])]


def _merged(times: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same times in order, without overlaps."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(times):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def _split(span: Span, times: Iterable[tuple[float, float]]) -> Iterator[Span]:
    unready = replace(span, ready=False, reason=NO_ROUTER)
    done = span.begin
    for begin, end in times:
        begin, end = max(begin, done), min(end, span.end)
        if begin < end:
            if done < begin:
                yield replace(unready, begin=done, end=begin)
            yield replace(span, begin=begin, end=end)
            done = end
    if done < span.end or span.begin == span.end:
        yield replace(unready, begin=done)


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
