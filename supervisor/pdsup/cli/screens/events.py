"""Formats the journal: one line for each event. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from pdsup.cli.screens.status import painted
from pdsup.cli.terminal.fold import INDENT, folded
from pdsup.journal.entry import Entry
from pdsup.times import clock_time, stamp
from pdsup.units.public_state import PublicState

WIDEST_NAME = 24
CHANGE = len("RUNNING -> UNHEALTHY")

Widths = tuple[int, int]


def widths(entries: Iterable[Entry], least: Widths = (0, 0)) -> Widths:
    """The widths of the node and unit columns; at least ``least``."""
    found = list(entries)
    nodes = max((len(one.node) for one in found), default=0)
    units = max((len(one.unit) for one in found), default=0)
    return max(least[0], min(WIDEST_NAME, nodes)), max(least[1], min(WIDEST_NAME, units))


def lines(
    entries: Iterable[Entry], columns: Widths, *, colour: bool = False, width: int | None = None
) -> list[str]:
    """Events as lines: time, node, unit, change, run and reason; folded to ``width``."""
    return [line for one in entries for line in _lines(one, columns, colour, width)]


def _lines(one: Entry, columns: Widths, colour: bool, width: int | None) -> list[str]:
    nodes, units = columns
    run = "" if one.run is None else f"run {one.run}"
    names = f"{stamp(one.at)}  {one.node:{nodes}}  {one.unit:{units}}  "
    change = f"{one.before} -> {one.to}" if one.changes else one.to or one.event
    why = "  ".join(part for part in (run, one.reason) if part)
    line, rest = f"{names}{change:{CHANGE}}  {why}".rstrip(), list[str]()
    if width is not None and len(line) > width:  # the reason goes on its own lines
        line = f"{names}{change:{CHANGE}}  {run}".rstrip()
        rest = folded([f"{INDENT}{one.reason}"], width, "")
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


def about(entries: Iterable[Entry], patterns: Iterable[str]) -> list[Entry]:
    """The entries of units that match a name or glob; without patterns all, also those of nodes."""
    wanted = list(patterns)
    return [
        one for one in entries if not wanted or any(fnmatchcase(one.unit, each) for each in wanted)
    ]
