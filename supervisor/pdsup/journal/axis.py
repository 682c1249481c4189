"""One time axis for the journals of all nodes, which no step of a wall clock disturbs.

The wall clock of a machine may be set while a run lasts: then differences of its times are wrong,
even negative, and what happened last seems to have happened first. So every line has the monotonic
seconds of its moment too, and names the boot that they count from. Lines of the same boot, of one
node or of several on one machine, are placed by these, as the wall clock shows them at the latest
known moment of that boot. Machines can only be compared by their wall clocks. Lines of 0.1.0 name
no boot: there, one lasts as long as the moments of a journal do not go back. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pdsup.journal.entry import Entry

# By how many seconds the wall clock of each boot is ahead of its monotonic one.
Offsets = Mapping[str, float]


def offsets(journals: Iterable[Sequence[Entry]], known: Offsets) -> dict[str, float]:
    """The offsets of all boots in the journals; those that are ``known`` already stay."""
    latest: dict[str, tuple[float, float]] = {}
    for boot, each in (pair for journal in journals for pair in _by_boot(journal)):
        moment = each.monotonic
        if moment is not None and moment >= latest.get(boot, (moment, 0.0))[0]:
            latest[boot] = moment, each.at - moment
    return {boot: offset for boot, (_, offset) in latest.items()} | dict(known)


def placed(journal: Sequence[Entry], given: Offsets) -> list[Entry]:
    """The entries of one journal with their times on the axis."""
    return [_placed(each, given.get(boot)) for boot, each in _by_boot(journal)]


def _placed(each: Entry, offset: float | None) -> Entry:
    if each.monotonic is None or offset is None:
        return each
    return replace(each, at=round(each.monotonic + offset, 6))


def _by_boot(journal: Sequence[Entry]) -> Iterable[tuple[str, Entry]]:
    """The entries with the boot of each, which for those of 0.1.0 is the count of boots so far."""
    boots, before = 0, float("-inf")
    for each in journal:
        if each.monotonic is not None and not each.boot:
            boots += each.monotonic < before
            before = each.monotonic
        yield each.boot or f"{each.node} {boots}", each
