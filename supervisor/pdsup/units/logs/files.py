"""The files of a unit's log, and the marker lines that pdsup writes into it.

    FILE             the unit's output, with a marker line where each run begins
    FILE.1 FILE.2    earlier parts; the number is a part's age, the oldest has the highest
    FILE.INODE.times when the lines of the part with this inode number arrived

A part keeps its inode number when it is renamed, so its times need not be renamed with it. Pure.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

# A position in a file: its device, its inode number, and the offset in bytes.
Place = tuple[int, int, int]

_AGE = re.compile(r"(?:\.([1-9][0-9]{0,8}))?")
# An offset in the part, and when the bytes from there on arrived, in nanoseconds since the epoch.
TIME_RECORD = struct.Struct("<QQ")


def aged(path: str, age: int) -> str:
    """The path of a part; the part of age 0 is the one being written."""
    return f"{path}.{age}" if age else path


def ages(name: str, names: Iterable[str]) -> frozenset[int]:
    """The ages of the parts of log ``name`` among the names in its directory."""
    suffixes = (each.removeprefix(name) for each in names if each.startswith(name))
    return frozenset(int(match[1] or 0) for end in suffixes if (match := _AGE.fullmatch(end)))


def times_of(path: str, inode: int) -> str:
    """The path of a part's arrival times."""
    return f"{path}.{inode}.times"


def surplus(present: Collection[int], keep: int) -> list[int]:
    """The ages of the parts to delete so that a rotation leaves ``keep`` of them."""
    full = all(age in present for age in range(1, keep + 1))
    return [age for age in present if age > keep or (full and age == keep)]


def shifts(present: Collection[int], keep: int) -> list[tuple[int, int]]:
    """The renames, in order, that free age 0.

    They go only as far as the first gap in the ages, which a rotation that was killed between two
    renames leaves behind: closing it needs no deletion.
    """
    gap = next((age for age in range(1, keep) if age not in present), keep)
    return [(age, age + 1) for age in range(gap - 1, -1, -1)]


def run_begins(at: float, unit: str, run: int, previous: str) -> str:
    """The marker at the beginning of a run; ``previous``: how the run before ended, if any."""
    after = f", after: {previous}" if previous else ""
    return f"=== {stamp(at)} {unit} run {run} begins{after}\n"


def bytes_lost(at: float, unit: str, count: int, cause: str) -> str:
    """The marker in place of output that could not be written."""
    return f"=== {stamp(at)} {unit} {count} bytes are missing here: {cause}\n"


def stamp(at: float) -> str:
    """Formats seconds since the epoch, such as ``2026-11-23T07:51:02Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_stamp(at: float) -> str:
    """Formats seconds since the epoch with milliseconds, such as ``2026-11-23T07:51:02.123Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def arrived(records: Sequence[tuple[int, int]], offset: int) -> float | None:
    """When the byte at ``offset`` arrived, in seconds since the epoch; None if not recorded."""
    index = bisect_right(records, offset, key=lambda record: record[0])
    return records[index - 1][1] / 1e9 if index else None
