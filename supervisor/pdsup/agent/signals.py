"""The signals that an agent is sent.

Slurm sends some of them to every process of a job's step. Units must not die of those, so they
start with these signals ignored, which they can only inherit. The agent therefore ignores them as
well; it still gets them because it blocks them and reads them from a descriptor (signalfd).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Protocol

from pdsup.node.assignment import FOR_AGENTS

# struct signalfd_siginfo, of which only the number, which stands first, is of interest.
RECORD_BYTES = 128


_HELD = frozenset(signal.Signals[f"SIG{name}"] for name in FOR_AGENTS)


def hold() -> None:
    """From now on such a signal is kept for ``Signals``. Call it before there are threads: a thread
    inherits the mask of the one that makes it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    for number in _HELD:
        signal.signal(number, signal.SIG_IGN)


class End(Protocol):
    """Begins the end of this node's units, and of all nodes' if wanted."""

    def __call__(self, reason: str, *, of_cluster: bool) -> None:
        """``reason``: what the report tells the others."""


class Signals:
    """The signals of one agent, from ``listen`` to ``close``."""

    def __init__(
        self,
        end: End,
        hurry: Callable[[], None],
        reload: Callable[[], None],
        sweep: Callable[[], None],
    ) -> None:
        """``hurry`` shortens stop deadlines, at a second TERM or INT; ``reload`` reads the plan
        again; ``sweep`` reaps children that have ended.
        """
        self._end = end
        self._hurry = hurry
        self._reload = reload
        self._sweep = sweep
        self._terminations = 0
        self._descriptor = -1

    def listen(self) -> None:
        """From now on, on the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate, number.name)
        hold()
        self._descriptor = _signalfd(_HELD)
        loop.add_reader(self._descriptor, self._read)
        # uvloop refuses a handler of its own for this one, though it starts no children here.
        signal.signal(signal.SIGCHLD, lambda *_: loop.call_soon_threadsafe(self._sweep))

    def close(self) -> None:
        """Ends that. A child that ends later must not call into a closed loop."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        records = os.read(self._descriptor, RECORD_BYTES * len(FOR_AGENTS))
        starts = range(0, len(records), RECORD_BYTES)
        heard = {int.from_bytes(records[at : at + 4], sys.byteorder) for at in starts}
        if signal.SIGUSR1 in heard:
            self._end("SIGUSR1 (wall time is near)", of_cluster=False)
        if signal.SIGHUP in heard:
            self._reload()

    def _terminate(self, name: str) -> None:
        self._terminations += 1
        # Slurm's first one may come while the cluster is ending: that is no reason to hurry.
        if self._terminations > 1:
            self._hurry()
        self._end(name, of_cluster=False)


def _signalfd(numbers: Iterable[int]) -> int:
    """A descriptor from which blocked signals are read (signalfd(2)); raises OSError."""
    mask = sum(1 << (number - 1) for number in numbers).to_bytes(128, sys.byteorder)
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    descriptor: int = ctypes.CDLL(None, use_errno=True).signalfd(-1, mask, flags)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor
