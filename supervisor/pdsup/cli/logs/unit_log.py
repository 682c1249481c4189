"""Reads one log for ``pdsup logs``, without the lines about probes if they are hidden."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pdsup.answers.commands import LogFile
from pdsup.cli.logs.line_times import written_at
from pdsup.units.logs import files, split
from pdsup.units.logs.read import LogReader, Piece, Tail

# In so many bytes at the end a time is looked for, before a log counts as one without times.
TIMES_WITHIN = 1 << 20
# Where so much is nothing but noise, what is before it is too old, and takes too long to find.
NOISE_WITHIN = 1 << 28
DEFAULT = 200


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was written, with its line feed unless it is unfinished or too long.

    ``at``: when it was written, or arrived, in seconds since the epoch, or the line before it;
    ``arrived``: when it arrived, None if that was not recorded. ``begins``: not the rest of a line.
    """

    data: bytes
    at: float
    arrived: float | None
    begins: bool = True


class UnitLog:
    """A log that is read from where it is to begin; call ``begin`` first.

    ``hidden``: how many lines about probes were left out.
    """

    def __init__(self, file: LogFile, *, noise: bool) -> None:
        self.file = file
        self.hidden = 0
        self._noise = None if noise or not file.noise else split.noise(file.noise)
        self._reader: LogReader | None = None
        self._split = split.Forwards()
        self._at = 0.0
        self._began: float | None = None  # when a line that has not ended began to arrive
        self._inside = False  # whether the last line that was read has not ended

    @property
    def has_times(self) -> bool:
        """Whether arrival times are recorded."""
        return self._reader is not None and self._reader.has_times

    def begin(self, count: int | None = None, since: float | None = None) -> bool:
        """Moves to the last ``count`` lines that were written since a time; None: no such limit.

        Returns whether that time could be found; if not it is ignored, and there is a limit of
        ``DEFAULT`` lines. Raises OSError if there is no log.
        """
        reader, found = LogReader(self.file.path), True

        def place(tail: Tail) -> int:
            nonlocal found
            room = None if since is None else self._since(tail, since)
            found = since is None or room is not None
            return self._last(tail, DEFAULT if not found and count is None else count, room)

        reader.begin_where(place)
        self._reader = reader
        return found

    def close(self) -> None:
        """Closes the log."""
        if self._reader is not None:
            self._reader.close()

    def _last(self, tail: Tail, count: int | None, room: int | None) -> int:
        """The place of the last ``count`` lines in the last ``room`` bytes."""
        if count is None:
            return tail.size if room is None else room
        most = math.inf if room is None else room
        if self._noise is None:
            blocks = tail.blocks()
            return split.tail_size(blocks, count, min(most, max(0, count) * split.LONGEST))
        place = 0
        for line in split.backwards(tail.blocks(most=most)) if count > 0 else ():
            if not self._is_noise(line.data):
                place, count = line.place, count - 1
            if count == 0 or line.place > NOISE_WITHIN > place:
                break
        return place

    def _since(self, tail: Tail, since: float) -> int | None:
        """The place of the first line since a time; None if the lines have no times."""
        if (recorded := tail.arrived_since(since)) is not None:
            return recorded
        place, timed = 0, False
        for line in split.backwards(tail.blocks()):
            at = written_at(line.data)
            if at is None:
                if not timed and line.place > TIMES_WITHIN:
                    break
                continue
            # A marker alone does not tell when the lines after it were written.
            timed |= split.marker(line) is None
            if at < since:
                break
            place = line.place
        return place if timed or place else None

    def lines(self, *, unfinished: bool) -> Iterator[Line]:
        """The lines since the last call; with ``unfinished`` also what there is of the last one.

        A log that did not exist is read from its beginning once it does.
        """
        if self._reader is None:
            try:
                self.begin()
            except FileNotFoundError:
                return
        if self._reader is None:
            raise AssertionError("begin has opened it")
        for piece in self._reader.more():
            yield from self._of(piece)
        if (
            unfinished
            and self._split.held
            and (line := self._shown(self._split.rest(), self._began))
        ):
            yield line

    def _of(self, piece: Piece) -> Iterator[Line]:
        offset = piece.offset - self._split.held  # of the line that has begun
        for data in self._split.add(piece.data):
            arrived = self._began if offset < piece.offset else _arrived(piece, offset)
            if line := self._shown(data, arrived):
                yield line
            offset += len(data)
        if self._split.held and offset >= piece.offset:
            self._began = _arrived(piece, offset)

    def _shown(self, data: bytes, arrived: float | None) -> Line | None:
        begins, self._inside = not self._inside, not data.endswith(b"\n")
        if begins and self._is_noise(data):
            self.hidden += 1
            return None
        if begins:
            at = arrived if arrived is not None else written_at(data)
            self._at = self._at if at is None else at
        return Line(data, self._at, arrived, begins)

    def _is_noise(self, data: bytes) -> bool:
        return self._noise is not None and bool(self._noise.search(data.decode(errors="replace")))


def _arrived(piece: Piece, offset: int) -> float | None:
    return files.arrived(piece.times, offset) if piece.times else None
