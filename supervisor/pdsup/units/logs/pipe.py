"""Moves what a unit writes from its pipe to its log, on the event loop.

The pipe is a named one in the agent's node-local directory, and the unit has it open for both
directions: when the agent is killed the unit is not (no SIGPIPE, no error), what it wrote stays in
the pipe, and the next agent opens the pipe by its name and goes on.
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
from pdsup.units.logs import files
from pdsup.units.logs.rotate import LogWriter, waiting

# More is no faster (2 GB/s), and all pipes of a user that is not root may hold 64 MiB by default
# (/proc/sys/fs/pipe-user-pages-soft); beyond that every new pipe of his holds only 8 KiB.
CAPACITY = 1 << 18
# Between two looks at a pipe that fills slowly, so that many short lines are moved at once; shorter
# for one that fills faster, so that the unit need not wait, and none at all for one that floods.
LONGEST_PAUSE_S = 0.02
SHORTEST_PAUSE_S = 0.001
# Between two attempts to write where it failed, and how long nothing is attempted at all once the
# unit wrote more than the pipe can hold: it must not wait for a disk to have room again.
RETRY_S = 0.25
DROP_S = 1.0
# Rounds in which a pipe is emptied after the last writer is gone; one is enough.
ROUNDS = 8


class LogPipe:
    """The pipe of one unit. ``tell`` hears what is wrong with its log, and "" when that is over."""

    def __init__(
        self, unit: str, pipe: Path, writer: LogWriter, tell: Callable[[str], None]
    ) -> None:
        self._unit = unit
        self._path = pipe
        self._writer = writer
        self._tell = tell
        self._descriptor = -1
        self._timer: asyncio.TimerHandle | None = None
        self._due: list[str] = []  # lines of ours that could not be written yet
        self._lost = 0
        self._cause = ""
        self._problem = ""
        self._failing = False
        self._listening = False
        self._pause = 0.0
        self._drop_until = 0.0

    def begin(self, marker: str) -> int:
        """A descriptor for the unit to write to, after a line of ours. The caller closes it.

        Raises OSError when there can be no pipe.
        """
        self._open()
        self._empty()  # a run that ended while no agent was there
        if self._lost:
            self._due.append(self._loss())
            self._lost = 0
        self._due.append(marker)
        self._listen()
        self._move(0)
        return self.writable()

    def resume(self) -> bool:
        """Goes on with a unit that runs already; False when that one has no pipe."""
        if not self._is_pipe():
            return False
        self._open()
        self._listen()
        return True

    def writable(self) -> int:
        """A descriptor for the unit, or for somebody who speaks in its place. Raises OSError."""
        return os.open(self._path, os.O_RDWR | os.O_CLOEXEC)

    def end(self) -> None:
        """Moves what is left, once nobody is there to write more, and lets go of everything."""
        if self._descriptor >= 0:
            self._stop()
            self._empty()
            os.close(self._descriptor)
            self._descriptor = -1
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
            asyncio.get_running_loop().add_reader(self._descriptor, self._turn)

    def _wait(self, delay: float) -> None:
        self._stop()
        self._timer = asyncio.get_running_loop().call_later(delay, self._turn)

    def _stop(self) -> None:
        self._stop_timer()
        if self._listening:
            self._listening = False
            asyncio.get_running_loop().remove_reader(self._descriptor)

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
        # For both directions: without a writer a pipe is always readable, as one that has ended.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a user may have only so much of it
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, CAPACITY)

    def _is_pipe(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return stat.S_ISFIFO(self._path.lstat().st_mode)
        return False

    def _move(self, most: int) -> int:
        """Writes our own lines, then at most so many bytes of the unit; how many of these."""
        moved, wrote = 0, bool(self._due or self._lost)
        try:
            self._write_due()
            while moved < most:
                moved += self._writer.receive(self._descriptor, most - moved)
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
        if waiting(self._descriptor) >= CAPACITY // 2:
            self._drop_until = clock.monotonic() + DROP_S
            self._drop()

    def _drop(self) -> None:
        self._lost += self._writer.discard()
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for _ in range(ROUNDS):
                self._lost += os.splice(self._descriptor, nowhere, CAPACITY)
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
