"""Moves a unit's output from its pipe to its log, on the event loop.

Two things must not happen. The unit must not die with the agent: so the pipe is a named one in the
agent's node-local directory, and the unit has it open in both directions. When the agent is killed
there is no SIGPIPE, what was written stays in the pipe, and the next agent opens it by name and
continues. And the unit must not block on its log: a model server that waits for a full disk serves
nobody. So a pipe that fills up while the log cannot be written is emptied anyway, and a marker in
the log says how many bytes are missing.

What remains is to be cheap. A quiet unit costs nothing, as the loop waits for the pipe to become
readable. One that writes steadily is read at intervals, long enough to move many short lines at
once, short enough that the pipe never fills.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

from pdsup import clock
from pdsup.descriptor import Descriptor
from pdsup.units.logs import files
from pdsup.units.logs.rotate import LogWriter, waiting

# Bytes. A larger pipe is no faster (2 GB/s), and the pipes of an ordinary user may hold 64 MiB in
# all (/proc/sys/fs/pipe-user-pages-soft); beyond that every new one holds only 8 KiB.
CAPACITY = 1 << 18
# The pause between two reads of a pipe: long for one that fills slowly, so that many short lines
# are moved at once, shorter for one that fills faster, and none at all for one that floods.
LONGEST_PAUSE_S = 0.02
SHORTEST_PAUSE_S = 0.001
# How long to wait after a failed write; and for how long output is dropped, without trying to write
# it, once the unit has written more than the pipe can hold.
RETRY_S = 0.25
DROP_S = 1.0
# How many times a pipe is emptied after the last writer is gone; once is enough.
ROUNDS = 8


class LogPipe:
    """The pipe of one unit. ``tell`` is called with what is wrong with its log, "" once all is
    well.
    """

    def __init__(
        self, unit: str, pipe: Path, writer: LogWriter, tell: Callable[[str], None]
    ) -> None:
        self._unit = unit
        self._path = pipe
        self._writer = writer
        self._tell = tell
        self._descriptor = Descriptor()
        self._timer: asyncio.TimerHandle | None = None
        self._due: list[str] = []  # marker lines that could not be written yet
        self._lost = 0
        self._cause = ""
        self._problem = ""
        self._failing = False
        self._listening = False
        self._pause = 0.0
        self._drop_until = 0.0

    def begin(self, marker: str) -> int:
        """Writes a marker line; returns a descriptor for the unit's output. The caller closes it.

        Raises OSError if no pipe can be made.
        """
        self._open()
        self._empty()  # output of a run that ended while no agent was there
        if self._lost:
            self._due.append(self._loss())
            self._lost = 0
        self._due.append(marker)
        self._listen()
        self._move(0)
        return self.writable()

    def resume(self, main: int | None = None) -> bool:
        """Continues with a unit that is already running, whose main process is ``main``; False if
        that one has no pipe. Raises OSError.
        """
        if self._is_pipe():
            self._open()
        elif main is not None and _output(main) == f"{self._path} (deleted)":
            self._take(f"/proc/{main}/fd/1")
        else:
            return False
        self._listen()
        return True

    def writable(self) -> int:
        """A descriptor to write to the pipe, which may have lost its name. Raises OSError."""
        return os.open(f"/proc/self/fd/{self._descriptor.fileno()}", os.O_RDWR | os.O_CLOEXEC)

    def end(self) -> None:
        """Moves what is left, once nothing can write more, and closes everything."""
        if self._descriptor.is_open:
            self._stop()
            self._empty()
            self._descriptor.close()
            self._writer.close()

    # -- turns of the loop ----------------------------------------------------------------------

    def _turn(self) -> None:
        moved = 0
        if clock.monotonic() < self._drop_until:
            self._drop()
        else:
            moved = self._move(CAPACITY)
        if self._failing:
            dropping = clock.monotonic() < self._drop_until
            self._wait(SHORTEST_PAUSE_S if dropping else RETRY_S)
        elif moved and self._next_pause(moved):
            self._wait(self._pause)
        else:
            self._listen()

    def _next_pause(self, moved: int) -> float:
        if moved > CAPACITY // 4:
            self._pause = self._pause / 2 if self._pause > SHORTEST_PAUSE_S else 0.0
        elif moved < CAPACITY // 16:
            self._pause = min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, 2 * self._pause))
        return self._pause

    def _listen(self) -> None:
        self._stop_timer()
        if not self._listening:
            self._listening = True
            asyncio.get_running_loop().add_reader(self._descriptor.fileno(), self._turn)

    def _wait(self, delay: float) -> None:
        self._stop()
        self._timer = asyncio.get_running_loop().call_later(delay, self._turn)

    def _stop(self) -> None:
        self._stop_timer()
        if self._listening:
            self._listening = False
            asyncio.get_running_loop().remove_reader(self._descriptor.fileno())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- bytes ----------------------------------------------------------------------------------

    def _open(self) -> None:
        self.end()
        if not self._is_pipe():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            os.mkfifo(self._path, 0o600)
        self._take(str(self._path))

    def _take(self, path: str) -> None:
        # Opened for writing too: a pipe without a writer is always readable, at its end of file.
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor = Descriptor(os.open(path, flags))
        with contextlib.suppress(OSError):  # the user's limit for pipes is reached
            fcntl.fcntl(self._descriptor.fileno(), fcntl.F_SETPIPE_SZ, CAPACITY)

    def _is_pipe(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return stat.S_ISFIFO(self._path.lstat().st_mode)
        return False

    def _move(self, most: int) -> int:
        """Writes marker lines, then at most ``most`` bytes of the unit; returns how many bytes."""
        moved, wrote = 0, bool(self._due or self._lost)
        try:
            self._write_due()
            while moved < most:
                moved += self._writer.receive(self._descriptor.fileno(), most - moved)
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail(error)
            return moved
        if moved or wrote:
            self._failing = False
            self._hear(self._writer.complaint)
        return moved

    def _write_due(self) -> None:
        while self._due:
            self._writer.write(self._due[0])
            del self._due[0]
        if self._lost:
            self._writer.write(self._loss())
            self._lost = 0

    def _loss(self) -> str:
        return files.bytes_lost(clock.wall(), self._unit, self._lost, self._cause)

    def _fail(self, error: OSError) -> None:
        self._failing = True
        self._cause = error.strerror or str(error)
        self._hear(f"cannot write its log: {self._cause}")
        if waiting(self._descriptor.fileno()) >= CAPACITY // 2:
            self._drop_until = clock.monotonic() + DROP_S
            self._drop()

    def _drop(self) -> None:
        self._lost += self._writer.discard()
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for _ in range(ROUNDS):
                self._lost += os.splice(self._descriptor.fileno(), nowhere, CAPACITY)
        except BlockingIOError:
            pass
        finally:
            os.close(nowhere)

    def _empty(self) -> None:
        for _ in range(ROUNDS):
            if not self._move(CAPACITY):
                break
        if self._failing:
            self._drop()

    def _hear(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._tell(problem)


def _output(main: int) -> str:
    """Where the output of a process goes."""
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{main}/fd/1").readlink())
    return ""
