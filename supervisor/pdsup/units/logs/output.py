"""Gives every run of a unit something to write to, and marks where it begins.

Directly: the child appends to the file itself, nothing is in the way, nothing lost when the agent
dies. Or through a pipe that the agent empties, which allows rotation and times of lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pdsup import clock
from pdsup.node.assignment import AssignedUnit
from pdsup.units.logs import files
from pdsup.units.logs.files import Place
from pdsup.units.logs.pipe import LogPipe
from pdsup.units.logs.rotate import LogWriter, open_making_directory

LOOK_S = 30.0
# Readable too, to see how the output of the run before ended.
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Output:
    """The output of one unit. ``tell`` hears what is wrong with its log, "" when that is over.

    ``begin`` or ``resume`` for a run; ``end`` once no process of it is left.
    """

    def __init__(self, unit: AssignedUnit, tell: Callable[[str], None]) -> None:
        self._unit = unit
        self._tell = tell
        self._pipe = Path(unit.pipe_path)
        writer = LogWriter(unit.log_path, unit.plan.log)
        self._forwarder = LogPipe(unit.name, self._pipe, writer, tell)
        self.begun: Place | None = None  # where the run that was begun last begins
        self._written: os.stat_result | None = None  # the file, of a run that writes to it itself

    @property
    def start(self) -> int:
        """Where the output of the run that was begun last begins in the log's newest part."""
        now = _status(self._unit.log_path)
        if self.begun is None or now is None or (now.st_dev, now.st_ino) != self.begun[:2]:
            return 0
        return self.begun[2]

    def begin(self, run: int, previous: str) -> int:
        """A descriptor to write to, after a line that says which run begins and why.

        Raises OSError when there is nothing to write to. The caller closes the descriptor.
        """
        marker = files.run_begins(clock.wall(), self._unit.name, run, previous)
        descriptor = self._begin(marker)
        found = _status(self._unit.log_path)
        self.begun = (found.st_dev, found.st_ino, found.st_size) if found else None
        return descriptor

    def resume(self, begun: Place | None) -> None:
        """Goes on with a run that an earlier agent began, there."""
        self.begun = begun
        try:
            if not self._forwarder.resume():
                self._written = _status(self._unit.log_path)
        except OSError as error:
            self._tell(f"cannot go on with its log: {error.strerror}")

    def end(self) -> None:
        """Brings what is left to the file, and lets go of everything."""
        self._written = None
        self._forwarder.end()

    def look(self) -> Callable[[], None]:
        """Looks what becomes of what a run writes itself, of which nobody hears; may take long.

        What it returns, called on the loop, tells.
        """
        written = self._written
        problem = _problem(self._unit.log_path, written) if written else ""

        def tell() -> None:
            if written is not None and written is self._written:
                self._tell(problem)

        return tell

    @contextlib.contextmanager
    def output(self) -> Iterator[int]:
        """A descriptor for somebody who speaks in the unit's place while it runs."""
        descriptor = (
            self._forwarder.writable()
            if self._pipe.is_fifo()
            else open_making_directory(self._unit.log_path, _FLAGS)
        )
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _begin(self, marker: str) -> int:
        if self._unit.plan.log.mode == "direct":
            with contextlib.suppress(OSError):
                return self._begin_directly(marker)
            # The forwarder tries again and again, and tells why.
        return self._forwarder.begin(marker)

    def _begin_directly(self, marker: str) -> int:
        descriptor = open_making_directory(self._unit.log_path, _FLAGS)
        self._written = os.fstat(descriptor)
        self._pipe.unlink(missing_ok=True)  # of an earlier run
        try:
            start = "\n" if _ends_within_a_line(descriptor) else ""
            os.write(descriptor, f"{start}{marker}".encode())
            self._tell("")
        except OSError as error:  # a full disk does not stop supervision
            self._tell(f"cannot write its log: {error.strerror}")
        return descriptor


async def watch(recorders: Sequence[Output]) -> None:
    """Looks after all of them now and then, until cancelled.

    In a thread: a shared file system that hangs must not stop supervision too.
    """
    while True:
        await asyncio.sleep(LOOK_S)
        for tell in await asyncio.to_thread(lambda: [recorder.look() for recorder in recorders]):
            tell()


def _problem(path: str, written: os.stat_result) -> str:
    """Why what is written to a file that was opened as ``path`` gets lost, or nothing."""
    try:
        room = os.statvfs(path)
        if not os.path.samestat(Path(path).stat(), written):
            return "another file has the name of its log: what it writes is lost until it restarts"
    except FileNotFoundError:
        return "its log was deleted: what it writes is lost until it restarts"
    except OSError as error:
        return f"cannot see its log: {error.strerror}"
    if room.f_blocks and not room.f_bavail:
        return f"cannot write its log: {os.strerror(errno.ENOSPC)}"
    return ""


def _status(path: str) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return Path(path).stat()
    return None


def _ends_within_a_line(descriptor: int) -> bool:
    """Whoever was killed while it drew a progress bar left one."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
