"""The agent's side of the pipes to its guardian (``guardian.py`` has the protocol).

Units that an earlier agent started are the guardian's children by now. A pidfd tells this agent
that one has ended, but only its parent learns the exit status: the guardian passes it on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable

from pdsup.descriptor import Descriptor
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.spawn import exit_status
from pdsup.units.process.tree import Identity

VARIABLE = "PDSUP_GUARDIAN"
# Set by a guardian that wants beats.
WATCHDOG = "PDSUP_WATCHDOG"
UNSEEN = ExitStatus(None)
# The guardian reaps at once; if it stays silent for this long, it is gone or never was the parent.
PATIENCE_S = 1.0
BEGAN, ENDED, REPLACE, MOVES = b"b", b"e", b"r", b"w"

Heard = Callable[[ExitStatus], None]


def copy_of(given: str | None) -> int:
    """The descriptor for the copy of the ledger in the value of ``VARIABLE``; -1 if there is none,
    as from a guardian of version 0.1.0.
    """
    numbers = (given or "").split(",")
    return int(numbers[2]) if len(numbers) > 2 else -1


class GuardianLink:
    """The link of one agent to its guardian; ``pid`` is None when the guardian is gone. ``copy``:
    the descriptor for the copy of the ledger that it holds.
    """

    def __init__(
        self, given: str | None, expected: Iterable[Identity] = (), *, beats: bool = False
    ) -> None:
        """``given``: the value of ``VARIABLE``, if any. ``expected``: earlier agents' processes.
        ``beats``: whether the guardian wants to know that the agent moves.
        """
        self._beats = beats
        self.pid: int | None = None
        self.copy = Descriptor()
        self._expected = frozenset(expected)
        self._hear = self._say = Descriptor()
        self._statuses: dict[Identity, ExitStatus] = {}
        self._waiting: dict[Identity, Heard] = {}
        self._rest = b""
        self._on_gone: Callable[[], None] | None = None
        if given:
            first, second, *_ = map(int, given.split(","))
            self._hear, self._say = Descriptor(first), Descriptor(second)
            self.copy = Descriptor(copy_of(given))
            self.pid = os.getppid()
            # Nor must a guardian that does not read hold up the agent.
            os.set_blocking(self._hear.fileno(), False)
            os.set_blocking(self._say.fileno(), False)
            for descriptor in (self._hear, self._say):
                os.set_inheritable(descriptor.fileno(), False)

    def listen(self, on_gone: Callable[[], None]) -> None:
        """Starts reading from the guardian on the running loop; ``on_gone`` is called if it ends
        before this agent does.
        """
        self._on_gone = on_gone
        if self.pid is not None:
            self._take()
        if self.pid is not None:
            asyncio.get_running_loop().add_reader(self._hear.fileno(), self._take)

    def say(self, word: bytes) -> None:
        """Sends the guardian one of BEGAN, ENDED, REPLACE."""
        if self.pid is not None:
            with contextlib.suppress(OSError):  # the guardian has just been killed
                os.write(self._say.fileno(), word)

    def beat(self) -> None:
        """Tells the guardian that the agent's loop moves."""
        if self._beats:
            self.say(MOVES)

    def when_known(self, process: Identity, heard: Heard) -> None:
        """Calls ``heard`` with the exit status of a process that has ended, or with ``UNSEEN`` if
        that is not known after ``PATIENCE_S`` seconds.
        """
        if self.pid is not None:
            self._take()
        loop = asyncio.get_running_loop()
        if process in self._statuses or self.pid is None:
            loop.call_soon(heard, self._statuses.pop(process, UNSEEN))
            return
        self._waiting[process] = heard
        loop.call_later(PATIENCE_S, self._resolve, process, UNSEEN)

    def _take(self) -> None:
        try:
            data = os.read(self._hear.fileno(), 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._is_gone()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            pid, started, status = map(int, line.split())
            if (pid, started) in self._expected:
                self._statuses[pid, started] = exit_status(status)
                self._resolve((pid, started), exit_status(status))

    def _resolve(self, process: Identity, status: ExitStatus) -> None:
        heard = self._waiting.pop(process, None)
        if heard is not None:
            self._statuses.pop(process, None)
            heard(status)

    def _is_gone(self) -> None:
        asyncio.get_running_loop().remove_reader(self._hear.fileno())
        self._hear.close()
        self._say.close()
        self.pid = None
        if self._on_gone is not None:
            self._on_gone()
        for process in list(self._waiting):
            self._resolve(process, UNSEEN)
