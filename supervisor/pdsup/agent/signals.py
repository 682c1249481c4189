"""The signals that an agent acts on.

TERM and INT stop the node's units, and a later one hurries; USR1 says that the job's wall time is
nearly over; HUP reloads the plan; CHLD means that a child has exited. Slurm sends some of them to
every process of a job's step, where USR1 and HUP would kill units. So units must start with these
two ignored, and the only way to that without code in the child is to inherit it: the agent ignores
them as well. It receives them all the same, because it also blocks them and reads them from a
descriptor (signalfd). A thread that does not block them would take them away from the descriptor,
hence ``hold`` before there are threads.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Protocol

from pdsup import clock
from pdsup.descriptor import Descriptor
from pdsup.node.assignment import FOR_AGENTS

# A TERM so soon after the first is the same one: on scancel both srun and Slurm's daemon send one.
REPEATED_S = 2.0
# The size of struct signalfd_siginfo; only its first field, the signal's number, is used.
RECORD_BYTES = 128


_HELD = frozenset(signal.Signals[f"SIG{name}"] for name in FOR_AGENTS)


def hold() -> None:
    """Blocks and ignores the signals that ``Signals`` reads.

    Call it before there are threads: a thread inherits the mask of the one that creates it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    for number in _HELD:
        signal.signal(number, signal.SIG_IGN)


class End(Protocol):
    """Begins to stop this node's units, or those of all nodes."""

    def __call__(self, reason: str, *, of_cluster: bool) -> None:
        """``reason`` is published in this node's report."""


class Signals:
    """The signals of one agent, from ``listen`` to ``close``."""

    def __init__(
        self,
        end: End,
        hurry: Callable[[], None],
        reload: Callable[[], None],
        sweep: Callable[[], None],
    ) -> None:
        """``hurry`` shortens stop deadlines on a later TERM or INT; ``reload`` reads the plan
        again; ``sweep`` reaps children that have exited.
        """
        self._end = end
        self._hurry = hurry
        self._reload = reload
        self._sweep = sweep
        self._told: float | None = None  # when the first TERM or INT came
        self._descriptor = Descriptor()

    def listen(self) -> None:
        """Begins to act on signals, on the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate, number.name)
        hold()
        self._descriptor = Descriptor(_signalfd(_HELD))
        loop.add_reader(self._descriptor.fileno(), self._read)
        # Not add_signal_handler: uvloop reserves SIGCHLD for itself, though it starts no children.
        signal.signal(signal.SIGCHLD, lambda *_: loop.call_soon_threadsafe(self._sweep))

    def close(self) -> None:
        """Stops acting on signals. A child that exits later must not call into a closed loop."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if self._descriptor.is_open:
            asyncio.get_running_loop().remove_reader(self._descriptor.fileno())
            self._descriptor.close()

    def _read(self) -> None:
        records = os.read(self._descriptor.fileno(), RECORD_BYTES * len(FOR_AGENTS))
        starts = range(0, len(records), RECORD_BYTES)
        heard = {int.from_bytes(records[at : at + 4], sys.byteorder) for at in starts}
        if signal.SIGUSR1 in heard:
            self._end("SIGUSR1 (wall time is near)", of_cluster=False)
        if signal.SIGHUP in heard:
            self._reload()

    def _terminate(self, name: str) -> None:
        # Slurm's first TERM may come while the cluster is ending already: no reason to hurry.
        if self._told is None:
            self._told = clock.monotonic()
        elif clock.monotonic() - self._told >= REPEATED_S:
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
