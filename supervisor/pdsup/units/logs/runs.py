"""The output of each run in a unit's log, which holds those of all. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

Section = tuple[int, list[str]]


def sections(lines: Sequence[str], unit: str) -> list[Section]:
    """Number and lines of each run that begins in ``lines``, by the marks between them."""
    mark = re.compile(rf"=== \S+ {re.escape(unit)} run (\d+) begins")
    found: list[Section] = []
    for line in lines:
        if begin := mark.search(line):
            found.append((int(begin[1]), []))
        elif found:
            found[-1][1].append(line)
    return found


def tails(
    lines: Sequence[str], unit: str, numbers: Sequence[int | None], most: int
) -> list[list[str]]:
    """The last ``most`` lines of each of the runs ``numbers``, which are the last ones.

    Numbers begin again with an agent that was started anew, so they are looked for from the end.
    """
    known = sections(lines, unit)
    found: list[list[str]] = []
    for number in reversed(numbers):
        at = next((i for i in reversed(range(len(known))) if known[i][0] == number), None)
        found.insert(0, [] if at is None else known[at][1][-most:])
        known = known if at is None else known[:at]
    return found
