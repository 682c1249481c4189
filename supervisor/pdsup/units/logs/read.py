"""Reads what a unit wrote: its last lines, across rotation and restarts, and what comes next.

A part of the log is known by its inode number, so a part that is renamed while it is read is read
to its end before the next one, and nothing twice.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pdsup.units.logs import files
from pdsup.units.logs.files import TIME_RECORD

BLOCK = 1 << 16
# Enough to see why a process ended, and no burden.
EXCERPT = 1 << 16


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log as it was seen.

    ``inode``: device and number. With ``content``, size and time of the last change in ns, it
    tells an old part, wherever it was renamed to, from a new one that was given its number.
    """

    age: int
    inode: tuple[int, int]
    content: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that follow on one another in one part, from ``offset`` on."""

    data: bytes
    offset: int
    times: Times | None


@dataclass(frozen=True, slots=True)
class Place:
    """A byte of a log; ``inode``, of the part that it is in, None for the newest one."""

    inode: tuple[int, int] | None
    offset: int


class Times(Sequence[tuple[int, int]]):
    """The noted times of one part: offset, nanoseconds since the epoch."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __len__(self) -> int:
        return os.fstat(self._descriptor).st_size // TIME_RECORD.size

    def __getitem__(self, index: int) -> tuple[int, int]:  # type: ignore[override]
        record = os.pread(self._descriptor, TIME_RECORD.size, index * TIME_RECORD.size)
        if len(record) < TIME_RECORD.size:
            raise IndexError(index)
        offset, at = TIME_RECORD.unpack(record)
        return offset, at

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._descriptor)


def last_lines(path: str, count: int, most: int = EXCERPT) -> list[str]:
    """The last lines of a log, of its last ``most`` bytes; none when it can't be read."""
    with contextlib.suppress(OSError), contextlib.closing(LogReader(path)) as reader:
        reader.begin(count, most)
        text = b"".join(piece.data for piece in reader.more()).decode(errors="replace")
        # Not splitlines: a progress bar is one line, however often it returns to its beginning.
        lines = text.removesuffix("\n").split("\n") if text else []
        return lines[max(0, len(lines) - count) :]
    return []


class LogReader:
    """Reads one log forwards. ``begin`` comes first; it raises OSError when there is no log."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._position = 0
        self._times: Times | None = None
        self._older: frozenset[Part] = frozenset()

    @property
    def has_times(self) -> bool:
        """Whether the times of what is read now were noted."""
        return self._times is not None

    def begin(self, count: int, most: float = math.inf) -> None:
        """Finds the last ``count`` lines, or the last ``most`` bytes, without reading more."""
        with contextlib.ExitStack() as opened:
            snapshots = self._snapshots(opened)
            parts = list(itertools.islice(snapshots, 1))
            if not parts:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._path)
            left = files.tail_size(_backwards(parts, snapshots), count, most)
            while left > parts[0][1]:
                left -= parts.pop(0)[1]
            descriptor, size = parts[0]
            self._take(os.dup(descriptor), size - left)
            self._look_for_older()

    def go_on(self, place: Place, most: int) -> bool:
        """Begins at a place, or at the last ``most`` bytes of its part if those are fewer.

        False when it does not begin there: also when the part was cut or deleted, and what is in
        the newest part is read from the beginning.
        """
        with contextlib.ExitStack() as opened:
            descriptor, size = self._part(place.inode, opened)
            status = os.fstat(descriptor)
            same = place.inode in (None, _inode(status)) and place.offset <= size
            position = place.offset if same else 0
            self._take(os.dup(descriptor), max(position, size - most))
            return same and size - position <= most

    @property
    def place(self) -> Place:
        """Up to where it has read."""
        return Place(_inode(os.fstat(self._descriptor)), self._position)

    def more(self) -> Iterator[Piece]:
        """What there is from here on, up to the end of the newest part as it is now.

        Not further: whoever writes may be faster.
        """
        yield from self._rest()
        for part in reversed(self._newer()):
            if (following := self._opened(part)) is not None:
                # It may have grown between its end was seen and it was seen to be an old one.
                yield from self._rest()
                self._take(following, 0)
                self._look_for_older()
                yield from self._rest()

    def close(self) -> None:
        """Lets go of the files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._times is not None:
            self._times.close()
            self._times = None

    def _take(self, descriptor: int, position: int) -> None:
        self.close()
        self._descriptor, self._position = descriptor, position
        inode = os.fstat(descriptor).st_ino
        with contextlib.suppress(OSError):
            self._times = Times(files.times_of(self._path, inode))

    def _look_for_older(self) -> None:
        """What is there beside the part that is read, to tell it from what comes later."""
        parts = self._parts()
        mine = _index(parts, _inode(os.fstat(self._descriptor)))
        self._older = frozenset(replace(part, age=0) for part in parts[mine + 1 :])

    def _part(self, inode: tuple[int, int] | None, opened: contextlib.ExitStack) -> tuple[int, int]:
        """Descriptor and size of the part with this inode number, or else of the newest one."""
        newest = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        opened.callback(os.close, newest)
        if inode not in (None, _inode(os.fstat(newest))):
            for descriptor, size in self._snapshots(opened):
                if _inode(os.fstat(descriptor)) == inode:
                    return descriptor, size
        return newest, os.fstat(newest).st_size

    def _rest(self) -> Iterator[Piece]:
        size = os.fstat(self._descriptor).st_size
        if size < self._position:
            self._position = 0  # it was cut: begin again
        # Not until there is nothing more to read: a log that is linked to a device never ends.
        while (left := size - self._position) > 0:
            data = os.pread(self._descriptor, min(left, BLOCK), self._position)
            if not data:  # it was cut just now
                return
            offset = self._position
            self._position += len(data)
            yield Piece(data, offset, self._times)

    def _newer(self) -> list[Part]:
        """The parts after the one that is read, the newest first."""
        mine = os.fstat(self._descriptor)
        try:
            if os.path.samestat(Path(self._path).stat(), mine):
                return []
        except FileNotFoundError:  # between two renames
            pass
        try:
            parts = self._parts()
        except FileNotFoundError:  # the directory is gone
            return []
        at = _index(parts, _inode(mine))
        if at < len(parts):
            return parts[:at]
        # It was deleted: new is what was not there beside it.
        return [part for part in parts if replace(part, age=0) not in self._older]

    def _snapshots(self, opened: contextlib.ExitStack) -> Iterator[tuple[int, int]]:
        """Descriptor and size of each part, the newest first; ``opened`` closes them."""
        for part in self._parts():
            if (descriptor := self._opened(part)) is not None:
                opened.callback(os.close, descriptor)
                yield descriptor, os.fstat(descriptor).st_size

    def _parts(self) -> list[Part]:
        """The parts that are there, the newest first.

        They are looked at by growing age, to which they are renamed meanwhile: none is missed, but
        newer ones come in between, and then the older ones again. So where each was seen last is
        its place among the others.
        """
        parts: dict[tuple[int, int], Part] = {}
        highest = self._highest_age()
        for age in itertools.count():
            try:
                status = Path(files.aged(self._path, age)).stat()
            except FileNotFoundError:
                if age > highest:
                    return list(parts.values())
                continue
            parts.pop(_inode(status), None)
            content = (status.st_size, status.st_mtime_ns)
            parts[_inode(status)] = Part(age, _inode(status), content)
        raise AssertionError("the numbers ended")

    def _opened(self, part: Part) -> int | None:
        """A descriptor; None when the part was deleted since it was seen."""
        try:
            highest = self._highest_age()
        except FileNotFoundError:  # the directory is gone
            return None
        for age in range(part.age, highest + 1):
            with contextlib.suppress(FileNotFoundError):
                path = files.aged(self._path, age)
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                if _inode(os.fstat(descriptor)) == part.inode:
                    return descriptor
                os.close(descriptor)
        return None

    def _highest_age(self) -> int:
        """At least the age of the oldest part, which may be renamed while the directory is read."""
        directory, _, name = self._path.rpartition("/")
        # Thousands of logs may lie there, and few of them are parts of this one.
        entries = os.listdir(directory or ".")  # noqa: PTH208 (five times as fast)
        names = [entry for entry in entries if entry.startswith(name)]
        return max(files.ages(name, names), default=0) + 2


def _backwards(parts: list[tuple[int, int]], more: Iterator[tuple[int, int]]) -> Iterator[bytes]:
    """The blocks of the parts, from the end; those of ``more`` too, which are added when needed."""
    for descriptor, size in parts:
        for end in range(size, 0, -BLOCK):
            start = max(0, end - BLOCK)
            if block := os.pread(descriptor, end - start, start):
                yield block
        parts += itertools.islice(more, 1)


def inode(path: str) -> tuple[int, int] | None:
    """Of the newest part of a log, if there is one."""
    with contextlib.suppress(OSError):
        return _inode(Path(path).stat())
    return None


def _index(parts: list[Part], inode: tuple[int, int]) -> int:
    return next((i for i, part in enumerate(parts) if part.inode == inode), len(parts))


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


# Of what came since the last look, so much of the end is read: a flood is no reason to stop.
MOST = 1 << 20  # bytes
_MARKER = re.compile(r"=== \S+ \S+ run \d+ begins")


class Follower:
    """One run's output, from byte ``start`` of the file on, across rotation."""

    def __init__(self, path: str, start: int) -> None:
        self._path = path
        self._place = Place(inode(path), start)
        self._rest = b""

    def lines(self) -> list[str]:
        """The lines that were finished since the last call. Raises OSError."""
        with contextlib.closing(LogReader(self._path)) as reader:
            if not reader.go_on(self._place, MOST):
                self._rest = b""
            got = self._rest
            for piece in reader.more():
                got = (got + piece.data)[-MOST:]
            self._place = reader.place
        # A progress bar draws over its line: each drawing is a line of its own here.
        *whole, self._rest = got.replace(b"\r", b"\n").split(b"\n")
        return [line.decode(errors="replace") for line in whole if line]


def tail(path: str, start: int, most: int) -> list[str]:
    """The last lines of a run's output, out of at most ``most`` bytes.

    ``start``: where it begins in the newest part of the log, 0 when it may begin in an earlier one.
    Nothing when the log can't be read.
    """
    with contextlib.suppress(OSError):
        size = Path(path).stat().st_size
        most = min(most, size - start) if 0 < start <= size else most
    lines = last_lines(path, most, most)
    begin = max((at for at, line in enumerate(lines) if _MARKER.match(line)), default=-1)
    return [one for line in lines[begin + 1 :] for one in line.split("\r") if one.strip()]
