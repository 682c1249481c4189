"""Reads the last words of runs from their log, however much they wrote.

A read stays within some bytes: of a run that writes only about probes, or only one line without
end, it shows what it finds there.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdsup.printable import printable
from pdsup.units.logs import split
from pdsup.units.logs.read import Tail
from pdsup.units.logs.split import Line

# Bytes that are enough to see why a process ended.
EXCERPT = 1 << 16
# Read so much where the end is nothing but noise: hours of probes.
AT_MOST = 1 << 20
# The output of earlier runs is looked for in the last GiB of a log, which takes a second.
SEARCHED = 1 << 30
# Fewer lines than this are too few to stop, if others were noise.
FEW = 3
NO_NOISE = split.noise(())


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines of a run: how many, without those that match ``noise`` (unless all do), and in
    how many bytes to look for them.
    """

    count: int
    noise: re.Pattern[str] = NO_NOISE
    within: int = EXCERPT


def last_lines(path: str, count: int, noise: re.Pattern[str] = NO_NOISE) -> list[str]:
    """The last lines of a log, whatever wrote them, without those that match ``noise`` (unless all
    do); none if it is unreadable.
    """
    with contextlib.suppress(OSError), contextlib.closing(Tail(path)) as log:
        within = EXCERPT if noise is NO_NOISE else AT_MOST
        lines = [_text(line) for line in split.backwards(log.blocks(most=within))]
        found = (line for line in lines if not noise.search(line))
        return (list(itertools.islice(found, count)) or lines[:count])[::-1]
    return []


def of_last_run(path: str, start: int, wanted: Wanted) -> list[str]:
    """The last lines of the last run in a log; each version of a progress bar is a line. Empty if
    the log is unreadable.

    ``start``: where the run begins in the newest part of the log, 0 if it may begin in an earlier
    one.
    """
    with contextlib.suppress(OSError), contextlib.closing(Tail(path)) as log:
        size = Path(path).stat().st_size
        own = size - start if 0 < start <= size else AT_MOST
        return _section(log, 0, wanted, lambda text: text.split("\r"), most=own)
    return []


def of_runs(path: str, unit: str, numbers: Sequence[int | None], wanted: Wanted) -> list[list[str]]:
    """The last lines of each of the last runs of a unit, whose numbers are ``numbers``; a progress
    bar is shown as it was last. Empty for a run whose output is not found.

    A newly started agent numbers runs from 1 again, so the numbers are searched from the end.
    """
    found: list[list[str]] = [[] for _ in numbers]
    with contextlib.suppress(OSError), contextlib.closing(Tail(path)) as log:
        end = 0
        for index in reversed(range(len(numbers))):
            # Of a single run only a marker that is near could tell that it is not this one.
            blocks = log.blocks(end, SEARCHED if index else AT_MOST)
            after, mark = end, None
            for mark in split.markers(blocks, unit, end):
                if mark.run == numbers[index]:
                    found[index] = _section(log, after, wanted, _last_version, unit=unit)
                    end = mark.place
                    break
                after = mark.place
            if mark is None:  # it wrote more than is searched
                found[index] = _section(log, end, wanted, _last_version, unit=unit)
                break
    return found


def _section(
    log: Tail,
    after: int,
    wanted: Wanted,
    versions: Callable[[str], Sequence[str]],
    *,
    unit: str | None = None,
    most: int = AT_MOST,
) -> list[str]:
    """The last lines of a run whose output ends at a place.

    ``versions``: the lines that a line is, as a progress bar overwrites its line. ``unit``: whose
    markers count (None: all), as units may share a log.
    """
    found: list[str] = []
    noise: list[str] = []
    blocks = log.blocks(after, min(most, AT_MOST))
    for line in split.backwards(blocks, wanted.within, after):
        if (mark := split.marker(line)) and unit in (mark.unit, None):
            break
        for text in map(printable, reversed(versions(_text(line)))):
            if text.strip():
                (noise if wanted.noise.search(text) else found).append(text)
        enough = FEW if noise else 1
        full = len(found) >= enough and line.place - after >= wanted.within
        if full or len(found) >= wanted.count:
            break
    return (found or noise)[: wanted.count][::-1]


def _text(line: Line) -> str:
    return line.data.decode(errors="replace")


def _last_version(text: str) -> tuple[str]:
    shown = [version for version in text.split("\r") if printable(version).strip()]
    return (shown[-1] if shown else "",)
