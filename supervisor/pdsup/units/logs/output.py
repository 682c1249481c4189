"""Gives each run of a unit a descriptor for its output, and marks in the log where it begins.

In mode ``direct`` the child appends to the file itself: nothing is in the way, and nothing is lost
when the agent dies. In mode ``pipe`` the agent moves the output from a pipe to the file, which
allows rotation and timestamps.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pdsup import clock
from pdsup.descriptor import Descriptor
from pdsup.node.assignment import AssignedUnit
from pdsup.threads import Turns
from pdsup.units.logs import files
from pdsup.units.logs.files import Place
from pdsup.units.logs.pipe import LogPipe
from pdsup.units.logs.rotate import LogWriter, open_making_directory

LOOK_S = 30.0
# Readable too, to see whether the previous run's output ended with a line feed.
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Output:
    """The output of one unit. ``tell`` is called with what is wrong with its log, "" once all is
    well.

    Call ``begin`` or ``resume`` for a run, and ``end`` once no process of it is left.
    """

    def __init__(self, unit: AssignedUnit, tell: Callable[[str], None]) -> None:
        self._unit = unit
        self._tell = tell
        self._pipe = Path(unit.pipe_path)
        writer = LogWriter(unit.log_path, unit.plan.log, unit.log_mode)
        self._log_pipe = LogPipe(unit.name, self._pipe, writer, tell)
        self.begun: Place | None = None  # where the output of the last run begins
        self._written: os.stat_result | None = None  # the file, if the run writes to it directly

    @property
    def start(self) -> int:
        """The byte at which the output of the last run begins in the log's newest part."""
        now = _status(self._unit.log_path)
        if self.begun is None or now is None or (now.st_dev, now.st_ino) != self.begun[:2]:
            return 0
        return self.begun[2]

    def begin(self, run: int, previous: str) -> int:
        """Writes the marker of a run; returns a descriptor for its output.

        Raises OSError if there is nothing to write to. The caller closes the descriptor.
        """
        marker = files.run_begins(clock.wall(), self._unit.name, run, previous)
        descriptor = self._begin(marker)
        now = _status(self._unit.log_path)
        self.begun = (now.st_dev, now.st_ino, now.st_size) if now else None
        return descriptor

    def resume(self, begun: Place | None, main: int | None = None) -> None:
        """Continues with a run whose output an earlier agent began at ``begun``. ``main``: its main
        process, if known.
        """
        self.begun = begun
        try:
            if not self._log_pipe.resume(main):
                self._written = _status(self._unit.log_path)
        except OSError as error:
            self._tell(f"cannot reopen its log: {error.strerror}")

    def end(self) -> None:
        """Writes what is left in the pipe to the file, and closes everything."""
        self._written = None
        self._log_pipe.end()

    def look(self) -> Callable[[], None]:
        """Checks the file of a run that writes to it directly, as the agent sees no errors of the
        child. It may block; the function that it returns reports, and belongs on the loop.
        """
        written = self._written
        problem = _problem(self._unit.log_path, written) if written else ""

        def tell() -> None:
            if written is not None and written is self._written:
                self._tell(problem)

        return tell

    def open(self) -> Descriptor:
        """A descriptor for a command that writes to the log of the running unit. May block; raises
        OSError.
        """
        if self._pipe.is_fifo():
            return Descriptor(self._log_pipe.writable())
        mode = self._unit.log_mode
        return Descriptor(open_making_directory(self._unit.log_path, _FLAGS, mode))

    def _begin(self, marker: str) -> int:
        if self._unit.plan.log.mode == "direct":
            with contextlib.suppress(OSError):
                return self._begin_directly(marker)
            # The pipe keeps trying, and reports why.
        return self._log_pipe.begin(marker)

    def _begin_directly(self, marker: str) -> int:
        descriptor = open_making_directory(self._unit.log_path, _FLAGS, self._unit.log_mode)
        self._written = os.fstat(descriptor)
        self._pipe.unlink(missing_ok=True)  # left by a run in pipe mode
        try:
            start = "\n" if _ends_within_a_line(descriptor) else ""
            os.write(descriptor, f"{start}{marker}".encode())
            self._tell("")
        except OSError as error:  # a full disk does not stop supervision
            self._tell(f"cannot write its log: {error.strerror}")
        return descriptor


async def watch(outputs: Sequence[Output]) -> None:
    """Checks all logs every ``LOOK_S`` seconds, until cancelled.

    The checks run in a thread: a shared file system that hangs must not stop supervision too.
    """
    turns = Turns()
    while True:
        await asyncio.sleep(LOOK_S)
        with contextlib.suppress(TimeoutError):
            for tell in await turns.run(lambda: [output.look() for output in outputs], LOOK_S):
                tell()


def _problem(path: str, written: os.stat_result) -> str:
    """Why output written to a file that was opened as ``path`` is lost; empty if it is not."""
    try:
        room = os.statvfs(path)
        if not os.path.samestat(Path(path).stat(), written):
            return "its log was replaced by another file: its output is lost until it restarts"
    except FileNotFoundError:
        return "its log was deleted: its output is lost until it restarts"
    except OSError as error:
        return f"cannot check its log: {error.strerror}"
    if room.f_blocks and not room.f_bavail:
        return f"cannot write its log: {os.strerror(errno.ENOSPC)}"
    return ""


def _status(path: str) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return Path(path).stat()
    return None


def _ends_within_a_line(descriptor: int) -> bool:
    """Whether the last line is unfinished, as after a run that was killed amid a progress bar."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
