"""Writes the log of a unit in pipe mode: rotates it, and records when lines arrived.

An agent that is killed at any moment must neither lose nor duplicate a byte of output. So bytes go
from the pipe to the file inside the kernel (splice), which removes from the pipe exactly what it
has written: they are never in our memory only. On file systems that lack splice they are, for one
small block at a time. Rotation must not lose anything either: parts are renamed from the oldest to
the newest, so that a kill between two renames leaves a gap in the numbers and overwrites nothing.
Others may interfere: the file may be deleted, truncated or replaced while it is being written, so
its identity is checked regularly and its end before every write.
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
from pdsup.descriptor import Descriptor
from pdsup.files import make_directory, open_regular
from pdsup.plan.model import Log
from pdsup.units.logs import files
from pdsup.units.logs.files import TIME_RECORD

# Readable, to see where lines end. Without O_APPEND, which splice does not support (EINVAL).
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
# How often to check whether the file was deleted or replaced.
LOOK_S = 1.0
# The resolution of arrival times.
TICK_S = 0.001
# How many bytes a part may exceed ``max_bytes`` by, so that it ends with a whole line.
SLACK = 1 << 16
# How many bytes are in our memory at a time on a file system without splice, lost if we are killed.
COPY = 1 << 16
_SPLICE_F_NONBLOCK = 2


class LogWriter:
    """Writes the log of one unit, which it opens when needed.

    ``mode``: that of files that it makes. ``complaint``: a problem that does not keep output from
    being written, if any.
    """

    def __init__(self, path: str, log: Log, mode: int = 0o644) -> None:
        self.complaint = ""
        self._path = path
        self._log = log
        self._mode = mode
        self._descriptor = Descriptor()
        self._times = Descriptor()
        self._noted_at = -TICK_S
        self._look_at = 0.0
        self._rotate_at = 0.0
        self._splices = True
        self._held = b""

    def receive(self, pipe: int, most: int) -> int:
        """Moves at most ``most`` bytes from the pipe to the log; returns how many, at least one.

        Raises BlockingIOError if the pipe is empty, and another OSError if the bytes cannot be
        written: then none are lost.
        """
        if not (self._held or waiting(pipe)):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        size, most = self._bounded(self._end(), most, pipe)
        self._note(size)
        if self._splices and not self._held:
            try:
                return os.splice(pipe, self._descriptor.fileno(), most)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._splices = False
        return self._copy(pipe, min(most, COPY))

    def write(self, text: str) -> None:
        """Writes a marker line, at the beginning of a line; raises OSError if it cannot be written
        whole.
        """
        size = self._end()
        limit = self._log.max_bytes
        if limit is not None and size >= limit and self._rotate():
            size = self._end()
        line = text.encode() if self._is_at_line_start(size) else b"\n" + text.encode()
        self._note(size)
        if os.write(self._descriptor.fileno(), line) < len(line):
            os.ftruncate(self._descriptor.fileno(), size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def discard(self) -> int:
        """Drops bytes that were read from the pipe and could not be written; returns how many."""
        count = len(self._held)
        self._held = b""
        return count

    def close(self) -> None:
        """Closes the files; the next use opens them again."""
        self._descriptor.close()
        self._times.close()

    def _end(self) -> int:
        """Seeks to the end of the file, which may have been truncated; returns its size."""
        if self._descriptor.is_open and clock.monotonic() >= self._look_at:
            self._look_at = clock.monotonic() + LOOK_S
            if not self._is_there():
                self.close()
        if not self._descriptor.is_open:
            self._open()
        return os.lseek(self._descriptor.fileno(), 0, os.SEEK_END)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(Path(self._path).stat(), os.fstat(self._descriptor.fileno()))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        self._descriptor = Descriptor(open_making_directory(self._path, _FLAGS, self._mode))
        self._noted_at = -TICK_S
        self._splices = True
        if not self._log.timestamps:
            return
        status = os.fstat(self._descriptor.fileno())
        # An empty file may reuse the inode number of one that was deleted without its times.
        fresh = os.O_TRUNC if status.st_size == 0 else 0
        with contextlib.suppress(OSError):
            times = files.times_of(self._path, status.st_ino)
            self._times = Descriptor(
                open_regular(times, _FLAGS | fresh | os.O_NOFOLLOW, self._mode)
            )

    # -- rotation -----------------------------------------------------------------------------

    def _bounded(self, size: int, most: int, pipe: int) -> tuple[int, int]:
        """Rotates if due; returns the size, and how much of ``most`` there is room for."""
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
        """Renames the parts; returns False if that fails."""
        if clock.monotonic() < self._rotate_at:
            return False
        path = Path(self._path)
        try:
            present = files.ages(path.name, (entry.name for entry in path.parent.iterdir()))
            for age in files.surplus(present, self._log.keep):
                _delete(self._path, Path(files.aged(self._path, age)))
            for age, older in files.shifts(present, self._log.keep):
                Path(files.aged(self._path, age)).rename(files.aged(self._path, older))
        except FileNotFoundError:  # it was deleted: a new one is opened in its place
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
        return size == 0 or os.pread(self._descriptor.fileno(), 1, size - 1) == b"\n"

    def _note(self, size: int) -> None:
        """Records that the bytes from ``size`` on arrived now; a failure is ignored."""
        now = clock.monotonic()
        if not self._times.is_open or now < self._noted_at + TICK_S:
            return
        self._noted_at = now
        with contextlib.suppress(OSError):
            times = self._times.fileno()
            whole = os.lseek(times, 0, os.SEEK_END) // TIME_RECORD.size * TIME_RECORD.size
            os.pwrite(times, TIME_RECORD.pack(size, int(clock.wall() * 1e9)), whole)

    def _copy(self, pipe: int, most: int) -> int:
        if not self._held:
            self._held = os.read(pipe, most)
        count = os.write(self._descriptor.fileno(), self._held)
        self._held = self._held[count:]
        return count


def open_making_directory(path: str, flags: int, mode: int) -> int:
    """Opens a regular file, and creates its directory if it is missing. Raises OSError."""
    try:
        return open_regular(path, flags | os.O_NOFOLLOW, mode, sinks=True)
    except FileNotFoundError:
        make_directory(Path(path).parent)
        return open_regular(path, flags | os.O_NOFOLLOW, mode, sinks=True)


def waiting(pipe: int) -> int:
    """How many bytes are in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _delete(log: str, part: Path) -> None:
    """Deletes a part, its times first: once the part is gone its inode number may be reused."""
    with contextlib.suppress(FileNotFoundError):
        Path(files.times_of(log, part.stat().st_ino)).unlink()
    part.unlink(missing_ok=True)


def _peeked(pipe: int, most: int) -> bytes:
    """Returns bytes from the pipe, which must not be empty, without removing them (tee)."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        count = ctypes.CDLL(None, use_errno=True).tee(pipe, writing, most, _SPLICE_F_NONBLOCK)
        if count < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return os.read(reading, count)
    finally:
        os.close(reading)
        os.close(writing)
