"""Reads a unit's log forwards, from its last lines on, across rotation and restarts.

A part of the log is identified by its inode number. A part that is renamed while it is being read
is therefore read to its end before the next one, and nothing is read twice.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pdsup.descriptor import Descriptor
from pdsup.files import open_regular
from pdsup.units.logs import files, split
from pdsup.units.logs.files import TIME_RECORD

BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log, as it was seen.

    ``inode``: device and inode number. Together with ``content``, the size and modification time in
    ns, it tells an old part that was renamed from a new one that reuses its inode number.
    """

    age: int
    inode: tuple[int, int]
    content: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive bytes of one part, from ``offset`` on."""

    data: bytes
    offset: int
    times: Times | None


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a log; ``inode``: the part that it is in, None for the newest one."""

    inode: tuple[int, int] | None
    offset: int


class Times(Sequence[tuple[int, int]]):
    """The arrival times of one part: pairs of offset and nanoseconds since the epoch."""

    def __init__(self, path: str) -> None:
        self._descriptor = Descriptor(open_regular(path, os.O_RDONLY | os.O_NOFOLLOW))

    def __len__(self) -> int:
        return os.fstat(self._descriptor.fileno()).st_size // TIME_RECORD.size

    def __getitem__(self, index: int) -> tuple[int, int]:  # type: ignore[override]
        record = os.pread(self._descriptor.fileno(), TIME_RECORD.size, index * TIME_RECORD.size)
        if len(record) < TIME_RECORD.size:
            raise IndexError(index)
        offset, at = TIME_RECORD.unpack(record)
        return offset, at

    def close(self) -> None:
        """Closes the file."""
        self._descriptor.close()


class Tail:
    """A log as it is when this object is made, counted from its end, across its parts, which are
    opened when they are needed. Raises OSError if there is no log.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._opened = contextlib.ExitStack()
        self._more = _snapshots(path, self._opened)
        # The descriptor and size of each opened part, the newest first.
        self._parts = list(itertools.islice(self._more, 1))
        if not self._parts:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def blocks(self, after: int = 0, most: float = math.inf) -> Iterator[bytes]:
        """Reads at most ``most`` bytes backwards, in blocks, from the place ``after`` on."""
        for index in itertools.count():
            if index == len(self._parts):
                self._parts += itertools.islice(self._more, 1)
            if index == len(self._parts) or most <= 0:
                return
            descriptor, size = self._parts[index]
            end, after = max(0, size - after), max(0, after - size)
            while end > 0 and most > 0:
                start = max(0, end - int(min(BLOCK, most)))
                if block := os.pread(descriptor, end - start, start):
                    yield block
                most -= end - start
                end = start

    def arrived_since(self, at: float) -> int | None:
        """The place of the first byte that arrived at ``at`` or later, in seconds since the epoch;
        None if arrival times were not recorded.
        """
        place, found = 0, None
        for index in itertools.count():
            if index == len(self._parts):
                self._parts += itertools.islice(self._more, 1)
            if index == len(self._parts):
                return found
            descriptor, size = self._parts[index]
            try:
                times = Times(files.times_of(self._path, os.fstat(descriptor).st_ino))
            except OSError:
                return found
            with contextlib.closing(times):
                first = bisect_left(times, at * 1e9, key=lambda record: record[1])
                found = place + (size - times[first][0] if first < len(times) else 0)
                if first > 0:
                    return found
            place += size
        raise AssertionError("itertools.count() does not end")

    @property
    def size(self) -> int:
        """How many bytes there are in all parts."""
        self._parts += self._more
        return sum(size for _, size in self._parts)

    def part(self, place: int) -> tuple[int, int]:
        """The descriptor of the part that begins at or before ``place``, and the offset in it."""
        for descriptor, size in self._parts:
            if place <= size:
                return descriptor, size - place
            place -= size
        return self._parts[-1][0], 0

    def close(self) -> None:
        """Closes the parts."""
        self._opened.close()


class LogReader:
    """Reads one log forwards. Call ``begin`` first; it raises OSError if there is no log."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = Descriptor()
        self._position = 0
        self._times: Times | None = None
        self._older: frozenset[Part] = frozenset()

    @property
    def has_times(self) -> bool:
        """Whether arrival times were recorded for the part that is being read."""
        return self._times is not None

    def begin(self, count: int, most: float = math.inf) -> None:
        """Moves to the last ``count`` lines, or the last ``most`` bytes, without reading more."""
        self.begin_where(lambda tail: split.tail_size(tail.blocks(), count, most))

    def begin_where(self, place: Callable[[Tail], int]) -> None:
        """Moves to a place: to so many bytes before the end of the log."""
        with contextlib.closing(Tail(self._path)) as tail:
            descriptor, offset = tail.part(place(tail))
            self._take(os.dup(descriptor), offset)
            self._look_for_older()

    def go_on(self, place: Place, most: int) -> bool:
        """Moves to a place, or to the last ``most`` bytes of its part if there are more after it.

        Returns whether it moved to the place. If the part was truncated or deleted, it moves to the
        beginning of the newest part and returns False.
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
        """The place up to which it has read."""
        return Place(_inode(os.fstat(self._descriptor.fileno())), self._position)

    def more(self) -> Iterator[Piece]:
        """Reads from here to the present end of the newest part.

        It does not read further, as the writer may be faster than the reader.
        """
        yield from self._rest()
        for part in reversed(self._newer()):
            if (following := _opened(self._path, part)) is not None:
                # It may have grown after its end was reached and before it was renamed.
                yield from self._rest()
                self._take(following, 0)
                self._look_for_older()
                yield from self._rest()

    def close(self) -> None:
        """Closes the files."""
        self._descriptor.close()
        if self._times is not None:
            self._times.close()
            self._times = None

    def _take(self, descriptor: int, position: int) -> None:
        self.close()
        self._descriptor, self._position = Descriptor(descriptor), position
        inode = os.fstat(descriptor).st_ino
        with contextlib.suppress(OSError):
            self._times = Times(files.times_of(self._path, inode))

    def _look_for_older(self) -> None:
        """Records the parts older than the one being read, to tell them from newer ones later."""
        parts = _parts(self._path)
        mine = _index(parts, _inode(os.fstat(self._descriptor.fileno())))
        self._older = frozenset(replace(part, age=0) for part in parts[mine + 1 :])

    def _part(self, inode: tuple[int, int] | None, opened: contextlib.ExitStack) -> tuple[int, int]:
        """The descriptor and size of the part with this inode number, or else of the newest one."""
        newest = open_regular(self._path, os.O_RDONLY | os.O_NOFOLLOW, sinks=True)
        opened.callback(os.close, newest)
        if inode not in (None, _inode(os.fstat(newest))):
            for descriptor, size in _snapshots(self._path, opened):
                if _inode(os.fstat(descriptor)) == inode:
                    return descriptor, size
        return newest, os.fstat(newest).st_size

    def _rest(self) -> Iterator[Piece]:
        size = os.fstat(self._descriptor.fileno()).st_size
        if size < self._position:
            self._position = 0  # it was truncated: start over
        # Bounded by the size: a log that is a link to a device never ends.
        while (left := size - self._position) > 0:
            data = os.pread(self._descriptor.fileno(), min(left, BLOCK), self._position)
            if not data:  # it has just been truncated
                return
            offset = self._position
            self._position += len(data)
            yield Piece(data, offset, self._times)

    def _newer(self) -> list[Part]:
        """The parts after the one being read, the newest first."""
        mine = os.fstat(self._descriptor.fileno())
        try:
            if os.path.samestat(Path(self._path).stat(), mine):
                return []
        except FileNotFoundError:  # between two renames
            pass
        try:
            parts = _parts(self._path)
        except FileNotFoundError:  # the directory is gone
            return []
        at = _index(parts, _inode(mine))
        if at < len(parts):
            return parts[:at]
        # The part was deleted: new are those that were not recorded as older.
        return [part for part in parts if replace(part, age=0) not in self._older]


def _snapshots(path: str, opened: contextlib.ExitStack) -> Iterator[tuple[int, int]]:
    """The descriptor and size of each part, the newest first; ``opened`` closes them."""
    for part in _parts(path):
        if (descriptor := _opened(path, part)) is not None:
            opened.callback(os.close, descriptor)
            yield descriptor, os.fstat(descriptor).st_size


def _parts(log: str) -> list[Part]:
    """Lists the parts, the newest first.

    They are visited in the order of age, and a rotation meanwhile renames them in the same
    direction: none is missed, but one may be visited twice. Its last visit counts.
    """
    parts: dict[tuple[int, int], Part] = {}
    highest = _highest_age(log)
    for age in itertools.count():
        try:
            status = Path(files.aged(log, age)).stat()
        except FileNotFoundError:
            if age > highest:
                return list(parts.values())
            continue
        parts.pop(_inode(status), None)
        content = (status.st_size, status.st_mtime_ns)
        parts[_inode(status)] = Part(age, _inode(status), content)
    raise AssertionError("itertools.count() does not end")


def _opened(log: str, part: Part) -> int | None:
    """Opens a part; None if it was deleted since it was seen."""
    try:
        highest = _highest_age(log)
    except FileNotFoundError:  # the directory is gone
        return None
    for age in range(part.age, highest + 1):
        with contextlib.suppress(FileNotFoundError):
            path = files.aged(log, age)
            descriptor = open_regular(path, os.O_RDONLY | os.O_NOFOLLOW, sinks=True)
            if _inode(os.fstat(descriptor)) == part.inode:
                return descriptor
            os.close(descriptor)
    return None


def _highest_age(log: str) -> int:
    """An upper bound for the ages, as parts may be renamed while the directory is read."""
    directory, _, name = log.rpartition("/")
    # The directory may contain thousands of logs, few of which are parts of this one.
    entries = os.listdir(directory or ".")  # noqa: PTH208 (five times as fast)
    names = [entry for entry in entries if entry.startswith(name)]
    return max(files.ages(name, names), default=0) + 2


def inode(path: str) -> tuple[int, int] | None:
    """The device and inode number of the newest part of a log, if there is one."""
    with contextlib.suppress(OSError):
        return _inode(Path(path).stat())
    return None


def _index(parts: list[Part], inode: tuple[int, int]) -> int:
    return next((i for i, part in enumerate(parts) if part.inode == inode), len(parts))


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


# Read at most this many trailing bytes of what is new, so that a flood of output costs little.
MOST = 1 << 20
# Of a line that does not end only so much is kept, so that a look costs no more than what is new.
MOST_BEGUN = 1 << 16


class Follower:
    """Follows one run's output from byte ``start`` of the file on, across rotation."""

    def __init__(self, path: str, start: int) -> None:
        self._path = path
        self._place = Place(inode(path), start)
        self._rest = b""

    def lines(self) -> list[str]:
        """The lines that were completed since the last call. Raises OSError."""
        with contextlib.closing(LogReader(self._path)) as reader:
            if not reader.go_on(self._place, MOST):
                self._rest = b""
            pieces, held = deque([self._rest]), len(self._rest)
            for piece in reader.more():
                pieces.append(piece.data)
                held += len(piece.data)
                while held - len(pieces[0]) >= MOST:
                    held -= len(pieces.popleft())
            self._place = reader.place
        # A progress bar overwrites its line; here each version is a line of its own.
        got = b"".join(pieces)[-MOST:].replace(b"\r", b"\n")
        *whole, rest = got.split(b"\n")
        self._rest = rest[:MOST_BEGUN]
        return [line.decode(errors="replace") for line in whole if line]
