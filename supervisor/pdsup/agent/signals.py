"""Hears the signals that an agent is sent.

Some of them Slurm sends to every process of a job's step. Units are not to die of those, so they
ignore them from their start, and that they can only inherit. An agent that ignores a signal as
well has to block it and read it from a descriptor: then it is kept for the reader all the same.
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
    """From now on such a signal waits for the listener. Before there are threads: each of them
    begins with the mask of its maker.
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
        """``hurry``: for whoever says it twice; ``reload``: reads the plan again; ``sweep``: reaps
        children that have ended.
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
        """A child that ends later must not call into a loop that is closed."""
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
        # Slurm's first one may come while the cluster ends already: that is no reason to hurry.
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
