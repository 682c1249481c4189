"""Writes the log of a unit whose output comes through a pipe: rotates it, notes times.

Bytes go from the pipe to the file inside the kernel (splice), and the pipe is advanced by what was
written: whoever is killed at any moment has neither lost nor doubled a byte.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import sys
import termios
from pathlib import Path

from pdsup import clock
from pdsup.plan.model import Log
from pdsup.units.logs import files
from pdsup.units.logs.files import TIME_RECORD

# Readable, to see where lines end. Without O_APPEND, with which splice does not work (EINVAL).
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
# How often to look whether the file was taken away: the least that a user who did so notices.
LOOK_S = 1.0
# Times are noted to the millisecond.
TICK_S = 0.001
# A part may be larger than ``max_bytes`` by so much, to end with a line.
SLACK = 1 << 16
# What is at risk while it is in our memory, on a file system that has no splice.
COPY = 1 << 16
_SPLICE_F_NONBLOCK = 2


class LogWriter:
    """The log of one unit; opened when it is first needed.

    ``complaint``: what is wrong although the bytes are written, if anything.
    """

    def __init__(self, path: str, log: Log) -> None:
        self.complaint = ""
        self._path = path
        self._log = log
        self._descriptor = -1
        self._times = -1
        self._noted_at = -TICK_S
        self._look_at = 0.0
        self._rotate_at = 0.0
        self._splices = True
        self._held = b""

    def receive(self, pipe: int, most: int) -> int:
        """Moves bytes from the pipe, at most so many; returns how many, at least one.

        Raises BlockingIOError when the pipe is empty, another OSError when they can't be written:
        then they are still there.
        """
        if not (self._held or waiting(pipe)):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        size, most = self._bounded(self._end(), most, pipe)
        self._note(size)
        if self._splices and not self._held:
            try:
                return os.splice(pipe, self._descriptor, most)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._splices = False
        return self._copy(pipe, min(most, COPY))

    def write(self, text: str) -> None:
        """A line of our own, whole and at the beginning of a line, or OSError."""
        size = self._end()
        limit = self._log.max_bytes
        if limit is not None and size >= limit and self._rotate():
            size = self._end()
        line = text.encode() if self._is_at_line_start(size) else b"\n" + text.encode()
        self._note(size)
        if os.write(self._descriptor, line) < len(line):
            os.ftruncate(self._descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def discard(self) -> int:
        """Gives up what was taken from the pipe and could not be written; how much that was."""
        count = len(self._held)
        self._held = b""
        return count

    def close(self) -> None:
        """Lets go of the files; the next use opens them again."""
        for descriptor in (self._descriptor, self._times):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._times = -1

    def _end(self) -> int:
        """Puts the file's position at its end, which somebody may have cut off; the size."""
        if self._descriptor >= 0 and clock.monotonic() >= self._look_at:
            self._look_at = clock.monotonic() + LOOK_S
            if not self._is_there():
                self.close()
        if self._descriptor < 0:
            self._open()
        return os.lseek(self._descriptor, 0, os.SEEK_END)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(Path(self._path).stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        self._descriptor = open_making_directory(self._path, _FLAGS)
        self._noted_at = -TICK_S
        self._splices = True
        if not self._log.timestamps:
            return
        status = os.fstat(self._descriptor)
        # An empty file may have got the inode number of one that was deleted without its times.
        fresh = os.O_TRUNC if status.st_size == 0 else 0
        with contextlib.suppress(OSError):
            self._times = os.open(files.times_of(self._path, status.st_ino), _FLAGS | fresh, 0o644)

    # -- rotation -----------------------------------------------------------------------------

    def _bounded(self, size: int, most: int, pipe: int) -> tuple[int, int]:
        """The size, and how much of ``most`` there is room for, after rotation where it is due."""
        limit = self._log.max_bytes
        if limit is None:
            return size, most
        if size < limit:
            return size, min(most, limit - size)
        if size < limit + SLACK and not self._is_at_line_start(size):
            seen = _peeked(pipe, limit + SLACK - size)
            return size, (seen.find(b"\n") + 1) or len(seen)
        return (self._end(), min(most, limit)) if self._rotate() else (size, most)

    def _rotate(self) -> bool:
        """Renames the parts; False when that can't be done now."""
        if clock.monotonic() < self._rotate_at:
            return False
        path = Path(self._path)
        try:
            present = files.ages(path.name, (entry.name for entry in path.parent.iterdir()))
            for age in files.surplus(present, self._log.keep):
                _delete(self._path, Path(files.aged(self._path, age)))
            for age, older in files.shifts(present, self._log.keep):
                Path(files.aged(self._path, age)).rename(files.aged(self._path, older))
        except FileNotFoundError:  # somebody deleted it: the next one is opened where it was
            pass
        except OSError as error:
            self.complaint = f"cannot rotate {self._path}: {error.strerror}"
            self._rotate_at = clock.monotonic() + LOOK_S
            return False
        self.complaint = ""
        self.close()
        return True

    # -- bytes --------------------------------------------------------------------------------

    def _is_at_line_start(self, size: int) -> bool:
        return size == 0 or os.pread(self._descriptor, 1, size - 1) == b"\n"

    def _note(self, size: int) -> None:
        """What is written from here on arrived now. Nothing waits for this to succeed."""
        now = clock.monotonic()
        if self._times < 0 or now < self._noted_at + TICK_S:
            return
        self._noted_at = now
        with contextlib.suppress(OSError):
            whole = os.lseek(self._times, 0, os.SEEK_END) // TIME_RECORD.size * TIME_RECORD.size
            os.pwrite(self._times, TIME_RECORD.pack(size, int(clock.wall() * 1e9)), whole)

    def _copy(self, pipe: int, most: int) -> int:
        if not self._held:
            self._held = os.read(pipe, most)
        count = os.write(self._descriptor, self._held)
        self._held = self._held[count:]
        return count


def open_making_directory(path: str, flags: int) -> int:
    """A descriptor of a file whose directory may have vanished. Raises OSError."""
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o644)


def waiting(pipe: int) -> int:
    """How many bytes are in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _delete(log: str, part: Path) -> None:
    """The times first: the inode number is free for another file as soon as the part is gone."""
    with contextlib.suppress(FileNotFoundError):
        Path(files.times_of(log, part.stat().st_ino)).unlink()
    part.unlink(missing_ok=True)


def _peeked(pipe: int, most: int) -> bytes:
    """What is in the pipe, which is not empty; it stays there."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        count = ctypes.CDLL(None, use_errno=True).tee(pipe, writing, most, _SPLICE_F_NONBLOCK)
        if count < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return os.read(reading, count)
    finally:
        os.close(reading)
        os.close(writing)
