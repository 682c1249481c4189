"""Formats the journal: one line for each event. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pdsup.cli.screens.status import painted
from pdsup.cli.terminal.fold import INDENT, folded
from pdsup.journal.entry import Entry
from pdsup.times import clock_time, stamp
from pdsup.units.public_state import PublicState

WIDEST_NAME = 24
CHANGE = len("RUNNING -> UNHEALTHY")

Widths = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events are wanted; what is empty or None does not choose.

    ``units`` and ``nodes``: names, globs, or what numbered names begin with, such as ``decode``.
    Times are in seconds since the epoch.
    """

    units: Collection[str] = ()
    nodes: Collection[str] = ()
    states: Collection[str] = ()
    since: float | None = None
    until: float | None = None

    def among(self, entries: Iterable[Entry]) -> list[Entry]:
        """The entries that are wanted; without ``units`` also those of nodes."""
        return [one for one in entries if self._includes(one)]

    def _includes(self, one: Entry) -> bool:
        return (
            _is_named(one.unit, self.units)
            and _is_named(one.node, self.nodes)
            and (not self.states or (one.changes and one.to in self.states))
            and (self.since is None or one.at >= self.since)
            and (self.until is None or one.at <= self.until)
        )


def _is_named(name: str, patterns: Collection[str]) -> bool:
    group = _NUMBER.sub("", name)
    return not patterns or any(fnmatchcase(name, each) or group == each for each in patterns)


# Of a unit, or of a rank of a gang: decode-0, prefill-1.0.
_NUMBER = re.compile(r"[-.]\d+$")


@dataclass(frozen=True, slots=True)
class Shown:
    """An event that is shown, and how many of its unit were left out before it."""

    entry: Entry
    left_out: int = 0


class Fold:
    """Leaves out events that only tell anew what a unit waits for: there are many during a start.

    The next event of the unit has their count. Of a unit that waits at the end of what is there at
    first, the latest one is shown.
    """

    def __init__(self) -> None:
        self._left_out: dict[str, int] = {}
        self._begun = False

    def shown(self, entries: Iterable[Entry]) -> list[Shown]:
        """The events among new ones that are shown."""
        found = list(entries)
        latest = {} if self._begun else {one.unit: one for one in found}
        self._begun = True
        return [
            Shown(one, self._left_out.pop(one.unit, 0))
            for one in found
            if not self._leaves_out(one, latest)
        ]

    def _leaves_out(self, one: Entry, latest: Mapping[str, Entry]) -> bool:
        if one.to is not PublicState.WAITING or one.changes or latest.get(one.unit) is one:
            return False
        self._left_out[one.unit] = self._left_out.get(one.unit, 0) + 1
        return True


def widths(entries: Iterable[Entry], least: Widths = (0, 0)) -> Widths:
    """The widths of the node and unit columns; at least ``least``."""
    found = list(entries)
    nodes = max((len(one.node) for one in found), default=0)
    units = max((len(one.unit) for one in found), default=0)
    return max(least[0], min(WIDEST_NAME, nodes)), max(least[1], min(WIDEST_NAME, units))


def lines(
    events: Iterable[Shown], columns: Widths, *, colour: bool = False, width: int | None = None
) -> list[str]:
    """Events as lines: time, node, unit, change, run and reason; folded to ``width``."""
    return [line for one in events for line in _lines(one, columns, colour, width)]


def _lines(event: Shown, columns: Widths, colour: bool, width: int | None) -> list[str]:
    one, (nodes, units) = event.entry, columns
    count = event.left_out
    left_out = f"({count} WAITING {'update' if count == 1 else 'updates'} left out)"
    reason = " ".join(part for part in (one.reason, left_out if count else "") if part)
    run = "" if one.run is None else f"run {one.run}"
    names = f"{stamp(one.at)}  {one.node:{nodes}}  {one.unit:{units}}  "
    change = f"{one.before} -> {one.to}" if one.changes else one.to or one.event
    why = "  ".join(part for part in (run, reason) if part)
    line, rest = f"{names}{change:{CHANGE}}  {why}".rstrip(), list[str]()
    if width is not None and len(line) > width:  # the reason goes on its own lines
        line = f"{names}{change:{CHANGE}}  {run}".rstrip()
        rest = folded([f"{INDENT}{reason}"], width, "")
    if colour and one.to:
        before = f"{names}{change.removesuffix(one.to)}"
        line = f"{before}{painted(one.to, one.to)}{line[len(before) + len(one.to) :]}"
    return [line, *rest]


# What people want to know at once of a cluster that was ready: not that units wait or start.
_TOLD = frozenset(PublicState) - {PublicState.WAITING, PublicState.STARTING, PublicState.STOPPING}
_HAPPENINGS = ("NodeLost", "NodeBack", "ReloadFailed", "GpusThrottled", "GpusLost", "GpusBack")


def told(entries: Iterable[Entry]) -> list[str]:
    """What has happened that people want to know at once, one line each."""
    return [text for one in entries if (text := _told(one))]


def _told(one: Entry) -> str:
    if one.to is None:
        known = one.event in _HAPPENINGS
        what = " ".join(filter(None, (one.unit, one.event))) + f": {one.reason}"
        return f"{clock_time(one.at)} {what}" if known else ""
    if not one.changes or one.to not in _TOLD:
        return ""
    run = f", run {one.run}" if one.to is PublicState.RUNNING and one.run is not None else ""
    why = f": {one.short_reason}" if one.short_reason else ""
    return f"{clock_time(one.at)} {one.unit} ({one.node}) {one.to}{run}{why}"
