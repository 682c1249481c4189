"""Finds in the journals what disturbed a cluster: outages of units and nodes, reloads, bad GPUs.

A benchmark is judged by the incidents that overlap it, so a missed one makes a bad result count,
and a false one throws a good result away. An outage begins when a unit stops being RUNNING and ends
when it is RUNNING again; all that happens in between is one incident, of the worst kind seen. A
unit that has exited with status 0 has completed, which is no outage. Journals have holes: an agent
that was killed writes nothing, so a unit that was RUNNING in the last entry and is not in the next
has had an outage as well. An incident whose end was not seen is still open. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pdsup.journal.entry import LOSS, Entry
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
    "events-lost",
]
# Kinds of outages of a unit, from the mildest to the worst.
OUTAGES: tuple[Kind, ...] = ("unhealthy", "down", "restart", "fatal")
# Events without duration; all others last until their counterpart.
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
    """Something that disturbed the cluster, from ``began`` to ``ended`` (seconds since the epoch).

    ``ended`` is None while it lasts. ``kind``: ``restart``: a unit ended and was started again;
    ``unhealthy``: it was not ready, but its process lived; ``down``: it ended; ``fatal``: it was
    given up; ``node``: its agent could not be reached; ``reload``, ``reload-failed``: nginx got
    another list of routers, or refused it; ``gpu-throttled``, ``gpu-lost``: GPUs of a unit were
    slowed down or missing; ``events-lost``: a journal lacks what happened. ``unit`` is empty for
    a node. ``asked``: it began with a requested stop.
    """

    kind: Kind
    unit: str
    node: str
    began: float
    ended: float | None
    what: str
    asked: bool = False


def incidents(entries: Iterable[Entry], begin: float, end: float) -> list[Incident]:
    """The incidents that overlap the time from ``begin`` to ``end``, the oldest first."""
    known = list(entries)
    found = [each for own in steps(known).values() for each in _outages(own)]
    found += _happenings(entry for entry in known if entry.to is None)
    return ordered(each for each in found if overlaps(each, begin, end))


def overlaps(incident: Incident, begin: float, end: float) -> bool:
    """Whether an incident overlaps the time from ``begin`` to ``end``."""
    return incident.began <= end and (incident.ended is None or incident.ended >= begin)


def ordered(found: Iterable[Incident]) -> list[Incident]:
    """Sorts incidents by their beginning, then by name."""
    return sorted(found, key=lambda each: (each.began, each.unit, each.node))


def _outages(entries: Sequence[Entry]) -> Iterator[Incident]:
    """The outages of one unit. The state in its last entry counts rather than the state before this
    entry, as the agent may have been killed in between.
    """
    going: Incident | None = None
    last: PublicState | None = None
    for entry in entries:
        if going is None and (last or entry.before) is PublicState.RUNNING and not _well(entry):
            asked, what, began = entry.event == Stop.__name__, _what(entry, last), _began(entry)
            going = Incident(_kind(entry), entry.unit, entry.node, began, None, what, asked)
        elif going is not None and _well(entry):
            yield replace(going, ended=entry.at)
            going = None
        elif going is not None:
            going = replace(
                going, kind=_worse(going.kind, _kind(entry)), what=going.what or _what(entry, last)
            )
        last = entry.to
    if going is not None:
        yield going


def _happenings(entries: Iterable[Entry]) -> Iterator[Incident]:
    """Other incidents of units and nodes. One that gets worse while it lasts is still one."""
    going: dict[tuple[str, str, Kind], Incident] = {}
    for entry in entries:
        if entry.event in _AT_ONCE:
            kind = _AT_ONCE[entry.event]
            yield Incident(kind, entry.unit, entry.node, entry.at, entry.at, entry.reason)
        elif entry.event == LOSS:
            yield Incident(
                "events-lost", "", entry.node, _since(entry), entry.at, entry.short_reason
            )
        elif entry.event in _BEGINS:
            kind, node = _BEGINS[entry.event], _concerned(entry)
            begun = Incident(kind, entry.unit, node, entry.at, None, entry.short_reason)
            going.setdefault((entry.unit, node, kind), begun)
        elif entry.event in _ENDS:
            begin = going.pop((entry.unit, _concerned(entry), _ENDS[entry.event]), None)
            if begin is not None:
                yield replace(begin, ended=entry.at)
    yield from going.values()


def _concerned(entry: Entry) -> str:
    """The node that an entry is about, which need not be the one that wrote it."""
    event = entry.raw.get("event")
    return str(event.get("node", entry.node)) if isinstance(event, dict) else entry.node


def _since(entry: Entry) -> float:
    """When the first of the events was lost."""
    event = entry.raw.get("event")
    since = event.get("since") if isinstance(event, dict) else None
    return float(since) if isinstance(since, int | float) else entry.at


def _began(entry: Entry) -> float:
    """When what an entry tells may have begun: after the last good answer of the unit."""
    event, now = entry.raw.get("event"), entry.raw.get("monotonic")
    since = event.get("since") if isinstance(event, dict) else None
    if isinstance(since, int | float) and isinstance(now, int | float):
        return entry.at - max(0.0, now - since)
    return entry.at


def _well(entry: Entry) -> bool:
    done = entry.to is not None and entry.to.ended_well(entry.exit.code if entry.exit else None)
    return done or entry.to is PublicState.RUNNING


def _kind(entry: Entry) -> Kind:
    match entry.to:
        case PublicState.FATAL:
            return "fatal"
        case PublicState.STARTING:
            return "restart"
        case PublicState.UNHEALTHY:
            return "unhealthy"
    return "down"


def _worse(first: Kind, second: Kind) -> Kind:
    return max(first, second, key=OUTAGES.index)


def _what(entry: Entry, last: PublicState | None) -> str:
    if last is PublicState.RUNNING is not entry.before:
        return LOST
    return entry.short_reason or str(entry.exit or "")


def to_json(incident: Incident) -> dict[str, Any]:
    """Encodes an incident as in ``run.json``."""
    return {
        "kind": incident.kind,
        "unit": incident.unit or None,
        "node": incident.node,
        "began": incident.began,
        "ended": incident.ended,
        "what": incident.what,
    }
