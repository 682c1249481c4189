"""What lies in a log directory for one unit, and the lines that are not the unit's own.

    FILE             what the unit writes, with a marker line where each run begins
    FILE.1 FILE.2    earlier parts, the oldest with the highest number: its age
    FILE.INODE.times when the lines of the part with this inode number arrived

A part keeps its inode number when it is renamed, so its times need no renaming with it. Pure.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

# A place in a file: its device, its inode, and how many bytes are before it.
Place = tuple[int, int, int]

_AGE = re.compile(r"(?:\.([1-9][0-9]{0,8}))?")
# Offset in the part, and nanoseconds since the epoch at which the bytes from there on arrived.
TIME_RECORD = struct.Struct("<QQ")


def aged(path: str, age: int) -> str:
    """The name of a part; age 0 is the one that is written."""
    return f"{path}.{age}" if age else path


def ages(name: str, names: Iterable[str]) -> frozenset[int]:
    """The ages of the parts of file ``name`` among the names in its directory."""
    ends = (one.removeprefix(name) for one in names if one.startswith(name))
    return frozenset(int(found[1] or 0) for end in ends if (found := _AGE.fullmatch(end)))


def times_of(path: str, inode: int) -> str:
    """Where the times of a part are."""
    return f"{path}.{inode}.times"


def surplus(present: Collection[int], keep: int) -> list[int]:
    """The ages of the parts to delete, so that a rotation leaves ``keep`` of them."""
    full = all(age in present for age in range(1, keep + 1))
    return [age for age in present if age > keep or (full and age == keep)]


def shifts(present: Collection[int], keep: int) -> list[tuple[int, int]]:
    """The renames, in order, after which age 0 is free.

    Only up to the first gap: whoever is killed between two renames leaves one, and nothing need
    be deleted to close it.
    """
    gap = next((age for age in range(1, keep) if age not in present), keep)
    return [(age, age + 1) for age in range(gap - 1, -1, -1)]


def run_begins(at: float, unit: str, run: int, previous: str) -> str:
    """The marker of a run; ``previous`` says how the one before it ended, if there was one."""
    after = f", after: {previous}" if previous else ""
    return f"=== {stamp(at)} {unit} run {run} begins{after}\n"


def bytes_lost(at: float, unit: str, count: int, cause: str) -> str:
    """The marker in the place of what could not be written."""
    return f"=== {stamp(at)} {unit} {count} bytes are missing here: {cause}\n"


def stamp(at: float) -> str:
    """Seconds since the epoch, for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_stamp(at: float) -> str:
    """Seconds since the epoch, with the milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def arrived(records: Sequence[tuple[int, int]], offset: int) -> float | None:
    """When the byte at ``offset`` arrived, in seconds since the epoch; None: nobody noted it."""
    index = bisect_right(records, offset, key=lambda record: record[0])
    return records[index - 1][1] / 1e9 if index else None


def tail_size(blocks: Iterable[bytes], count: int, most: float = float("inf")) -> int:
    """How many bytes at the end hold the last ``count`` lines, or ``most`` if they are more.

    ``blocks`` are not empty and come from the end. What follows the last line end is a line too.
    """
    size = 0
    for block in blocks if count > 0 else ():
        # The line end at the very end separates no lines.
        count += size == 0 and block.endswith(b"\n")
        breaks = block.count(b"\n")
        if breaks >= count:
            at = len(block)
            for _ in range(count):
                at = block.rindex(b"\n", 0, at)
            return int(min(size + len(block) - at - 1, most))
        count -= breaks
        size += len(block)
        if size >= most:
            return int(most)
    return size
