"""Splits a log into lines, which is read block by block, forwards or backwards.

A log may hold gigabytes, few line ends or none, and bytes that are no text. So nothing here holds
more than a block and one line of bounded length, and no byte is copied again for each block. Blocks
are never empty; those that are read backwards come in reverse order. A place is a number of bytes:
those from there to the end of the log. Pure.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

# A longer line is taken for several, such as a progress bar, whose versions make one line.
LONGEST = 1 << 20
_MARKER = re.compile(rb"=== \S{1,64} (\S{1,512}) run (\d{1,18}) begins")
# No marker that matters is longer.
_MARKER_BYTES = 1 << 10


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its line feed. ``place``: that of its first byte."""

    data: bytes
    place: int


@dataclass(frozen=True, slots=True)
class Marker:
    """The line with which pdsup marks that a run begins; ``place``: that of its first byte."""

    unit: str
    run: int
    place: int


def marker(line: Line) -> Marker | None:
    """The marker that a line is, if it is one."""
    found = _MARKER.match(line.data)
    return Marker(found[1].decode(errors="replace"), int(found[2]), line.place) if found else None


def tail_size(blocks: Iterable[bytes], count: int, most: float = float("inf")) -> int:
    """How many bytes at the end contain the last ``count`` lines, but at most ``most``.

    Text after the last line feed is a line too.
    """
    size = 0
    for block in blocks if count > 0 else ():
        # A line feed at the very end separates no lines.
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


def backwards(blocks: Iterable[bytes], longest: int = LONGEST, after: int = 0) -> Iterator[Line]:
    """The lines, the last one first; a line longer than ``longest`` is several.

    ``after``: the place where the blocks end.
    """
    place, held, size, inside = after, list[bytes](), 0, False
    for number, block in enumerate(blocks):
        # A line feed at the very end separates no lines.
        text = block.removesuffix(b"\n") if number == 0 else block
        place += len(block) - len(text)
        *whole, first = reversed(text.split(b"\n"))
        for piece in whole:
            place += len(piece)
            if piece or held or not inside:
                yield Line(b"".join((piece, *reversed(held))), place)
            place, held, size, inside = place + 1, [], 0, False
        # The line that is first here may begin in an earlier block.
        place, held, size = place + len(first), [*held, first], size + len(first)
        if size >= longest:
            yield Line(b"".join(reversed(held)), place)
            held, size, inside = [], 0, True
    if held:
        yield Line(b"".join(reversed(held)), place)


class Forwards:
    """Splits blocks that come one by one into lines; a line longer than ``LONGEST`` is several."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._held = 0

    @property
    def held(self) -> int:
        """How many bytes there are of a line that has begun and not ended."""
        return self._held

    def add(self, block: bytes) -> Iterator[bytes]:
        """The lines that end in a block, with their line feeds."""
        for piece in io.BytesIO(block):
            self._begun.append(piece)
            self._held += len(piece)
            if self._held >= LONGEST or piece.endswith(b"\n"):
                yield self.rest()

    def rest(self) -> bytes:
        """What there is of an unfinished line."""
        line = b"".join(self._begun)
        self._begun, self._held = [], 0
        return line


def markers(blocks: Iterable[bytes], unit: str, after: int = 0) -> Iterator[Marker]:
    """The markers of a unit's runs, the last one first; skips what lies between them quickly.

    ``after``: the place where the blocks end.
    """
    size, later = after, b""
    for block in blocks:
        size += len(block)
        text = block + later
        at = text.rfind(b"\n=== ", 0, len(block) + 4)
        while at >= 0:
            found = marker(Line(text[at + 1 : at + 1 + _MARKER_BYTES], size - at - 1))
            if found and found.unit == unit:
                yield found
            at = text.rfind(b"\n=== ", 0, at + 4)
        later = text[:_MARKER_BYTES]
    if (first := marker(Line(later, size))) and first.unit == unit:
        yield first


def noise(patterns: Sequence[str]) -> re.Pattern[str]:
    """Matches the lines in which a pattern of a plan's ``progress.noise`` is found."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or "(?!)")
