"""The journal for people: one line for each event. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from fnmatch import fnmatchcase

from supervisor.api.history import Entry
from supervisor.cli.table import painted

WIDEST_NAME = 24
CHANGE = len("RUNNING -> UNHEALTHY")

Widths = tuple[int, int]


def widths(entries: Iterable[Entry], least: Widths = (0, 0)) -> Widths:
    """How wide the names of nodes and of units are; at least as wide as they were before."""
    found = list(entries)
    nodes = max((len(one.node) for one in found), default=0)
    units = max((len(one.unit) for one in found), default=0)
    return max(least[0], min(WIDEST_NAME, nodes)), max(least[1], min(WIDEST_NAME, units))


def lines(entries: Iterable[Entry], columns: Widths, *, colour: bool = False) -> list[str]:
    """Time, node, unit, what became of it, its run, and why."""
    return [_line(one, columns, colour) for one in entries]


def _line(one: Entry, columns: Widths, colour: bool) -> str:
    nodes, units = columns
    run = "" if one.run is None else f"run {one.run}"
    names = f"{one.node:{nodes}}  {one.unit:{units}}"
    why = "  ".join(part for part in (run, one.reason) if part)
    return f"{stamp(one.at)}  {names}  {_change(one, colour)}  {why}".rstrip()


def _change(one: Entry, colour: bool) -> str:
    if not one.to:
        return one.event.ljust(CHANGE)
    text = f"{one.before} -> {one.to}" if one.changes else one.to
    padding = " " * (CHANGE - len(text))
    return (
        text.removesuffix(one.to) + painted(one.to, one.to) + padding if colour else text + padding
    )


def stamp(at: float) -> str:
    """The local time, with the day, because a run lasts over midnight: ``11-24 09:05:03.250``."""
    return datetime.fromtimestamp(at).strftime("%m-%d %H:%M:%S.%f")[:-3]


def about(entries: Iterable[Entry], patterns: Iterable[str]) -> list[Entry]:
    """The entries of units that a name or glob names; none given: all, also of nodes."""
    wanted = list(patterns)
    return [
        one for one in entries if not wanted or any(fnmatchcase(one.unit, each) for each in wanted)
    ]
