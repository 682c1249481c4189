"""Splits a unit's log into the output of its runs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

Section = tuple[int, list[str]]


def sections(lines: Sequence[str], unit: str) -> list[Section]:
    """The number and the lines of each run whose marker line is among ``lines``."""
    mark = re.compile(rf"=== \S+ {re.escape(unit)} run (\d+) begins")
    runs: list[Section] = []
    for line in lines:
        if begin := mark.search(line):
            runs.append((int(begin[1]), []))
        elif runs:
            runs[-1][1].append(line)
    return runs


def tails(
    lines: Sequence[str], unit: str, numbers: Sequence[int | None], most: int
) -> list[list[str]]:
    """The last ``most`` lines of each of the last runs, whose numbers are ``numbers``.

    A newly started agent numbers runs from 1 again, so the numbers are searched from the end.
    """
    known = sections(lines, unit)
    found: list[list[str]] = []
    for number in reversed(numbers):
        at = next((i for i in reversed(range(len(known))) if known[i][0] == number), None)
        found.insert(0, [] if at is None else known[at][1][-most:])
        known = known if at is None else known[:at]
    return found
