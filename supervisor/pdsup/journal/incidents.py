"""What disturbed a cluster within a time: outages of units and nodes, reloads, bad GPUs.

An outage begins when a unit stops being RUNNING and ends when it is so again. A unit that ends
with status 0 has done its work: that is none. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pdsup.journal.entry import Entry
from pdsup.journal.runs import LOST, steps
from pdsup.units.events import Stop
from pdsup.units.public_state import PublicState

Kind = Literal[
    "restart",
    "unhealthy",
    "down",
    "fatal",
    "node",
    "reload",
    "reload-failed",
    "gpu-throttled",
    "gpu-lost",
]
# What a unit's own steps tell; the worse the later.
OUTAGES: tuple[Kind, ...] = ("unhealthy", "down", "restart", "fatal")
# What is over at once; all else lasts.
_AT_ONCE: Mapping[str, Kind] = {"Reloaded": "reload", "ReloadFailed": "reload-failed"}
MOMENTS = frozenset(_AT_ONCE.values())
_BEGINS: Mapping[str, Kind] = {
    "GpusThrottled": "gpu-throttled",
    "GpusLost": "gpu-lost",
    "NodeLost": "node",
}
_ENDS: Mapping[str, Kind] = {
    "GpusUnthrottled": "gpu-throttled",
    "GpusBack": "gpu-lost",
    "NodeBack": "node",
}


@dataclass(frozen=True, slots=True)
class Incident:
    """Times are seconds since the epoch; ``ended`` is None for one that goes on.

    ``kind``: ``restart``: it ended and is back, or on the way; ``unhealthy``: it was not ready, but
    its process lived; ``down``: it ended; ``fatal``: it was given up; ``node``: its agent could not
    be asked; ``reload``, ``reload-failed``: nginx took another list of routers while it ran, or
    could not; ``gpu-throttled``, ``gpu-lost``: GPUs of a unit were slowed down, or not there.
    ``unit`` is empty for a node. ``asked``: it began with a stop that somebody asked for.
    """

    kind: Kind
    unit: str
    node: str
    began: float
    ended: float | None
    what: str
    asked: bool = False


def incidents(entries: Iterable[Entry], begin: float, end: float) -> list[Incident]:
    """Those that journals tell of and that overlap the time from ``begin`` to ``end``, the oldest
    first.
    """
    known = list(entries)
    found = [each for own in steps(known).values() for each in _outages(own)]
    found += _happenings(one for one in known if one.to is None)
    return ordered(each for each in found if overlaps(each, begin, end))


def overlaps(incident: Incident, begin: float, end: float) -> bool:
    """Whether any of it lies within the time."""
    return incident.began <= end and (incident.ended is None or incident.ended >= begin)


def ordered(found: Iterable[Incident]) -> list[Incident]:
    """By their begin; equal ones by name."""
    return sorted(found, key=lambda one: (one.began, one.unit, one.node))


def _outages(entries: Sequence[Entry]) -> Iterator[Incident]:
    """The outages of one unit; what was its last state counts, for an agent may have died."""
    going: Incident | None = None
    last: PublicState | None = None
    for one in entries:
        if going is None and (last or one.before) is PublicState.RUNNING and not _well(one):
            asked, what = one.event == Stop.__name__, _what(one, last)
            going = Incident(_kind(one), one.unit, one.node, one.at, None, what, asked)
        elif going is not None and _well(one):
            yield replace(going, ended=one.at)
            going = None
        elif going is not None:
            going = replace(
                going, kind=_worse(going.kind, _kind(one)), what=going.what or _what(one, last)
            )
        last = one.to
    if going is not None:
        yield going


def _happenings(entries: Iterable[Entry]) -> Iterator[Incident]:
    """What else happened to units and nodes. What gets worse while it goes on is one incident."""
    going: dict[tuple[str, str, Kind], Incident] = {}
    for one in entries:
        if one.event in _AT_ONCE:
            kind = _AT_ONCE[one.event]
            yield Incident(kind, one.unit, one.node, one.at, one.at, one.reason)
        elif one.event in _BEGINS:
            kind, node = _BEGINS[one.event], _concerned(one)
            begun = Incident(kind, one.unit, node, one.at, None, one.short_reason)
            going.setdefault((one.unit, node, kind), begun)
        elif one.event in _ENDS:
            begin = going.pop((one.unit, _concerned(one), _ENDS[one.event]), None)
            if begin is not None:
                yield replace(begin, ended=one.at)
    yield from going.values()


def _concerned(one: Entry) -> str:
    """The node that it is about, which need not be the one that tells."""
    event = one.raw.get("event")
    return str(event.get("node", one.node)) if isinstance(event, dict) else one.node


def _well(one: Entry) -> bool:
    done = one.to is not None and one.to.ended_well(one.exit.code if one.exit else None)
    return done or one.to is PublicState.RUNNING


def _kind(one: Entry) -> Kind:
    match one.to:
        case PublicState.FATAL:
            return "fatal"
        case PublicState.STARTING:
            return "restart"
        case PublicState.UNHEALTHY:
            return "unhealthy"
    return "down"


def _worse(first: Kind, second: Kind) -> Kind:
    return max(first, second, key=OUTAGES.index)


def _what(one: Entry, last: PublicState | None) -> str:
    if last is PublicState.RUNNING is not one.before:
        return LOST
    return one.short_reason or str(one.exit or "")


def to_json(incident: Incident) -> dict[str, Any]:
    """As ``run.json`` has it."""
    return {
        "kind": incident.kind,
        "unit": incident.unit or None,
        "node": incident.node,
        "began": incident.began,
        "ended": incident.ended,
        "what": incident.what,
    }
