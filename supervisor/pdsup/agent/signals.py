"""The signals that an agent acts on.

TERM and INT stop the node's units, and a later one hurries; USR1 says that the job's wall time is
nearly over; HUP reloads the plan; CHLD means that a child has exited. Slurm sends some of them to
every process of a job's step, where USR1 and HUP would kill units. So units must start with these
two ignored, and the only way to that without code in the child is to inherit it: the agent ignores
them as well. It receives them all the same, because it also blocks them and reads them from a
descriptor (signalfd). Signals that mean nothing to an agent, and would end it, are read from there
too and only told. A thread that does not block them would take them away from the descriptor,
hence ``hold`` before there are threads. TERM and INT are read from it too, because only there the
kernel says who sent a signal. They are blocked later, when nothing that may hang is left before
``Signals`` listens.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from pdsup import clock
from pdsup.descriptor import Descriptor
from pdsup.node.assignment import FOR_AGENTS
from pdsup.units.process.guardian import STRAY
from pdsup.units.process.spawn import signal_name

# A TERM so soon after the first is the same one: on scancel both srun and Slurm's daemon send one.
REPEATED_S = 2.0
# struct signalfd_siginfo: number, code, pid and uid of the sender, and the value of sigqueue(3).
RECORD_BYTES = 128
RECORD = struct.Struct("=I4xiII28xQ")
SI_QUEUE = -1
TERMINATION = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

_HELD = frozenset(signal.Signals[f"SIG{name}"] for name in FOR_AGENTS)


def hold() -> None:
    """Blocks and ignores the signals that ``Signals`` reads.

    Call it before there are threads: a thread inherits the mask of the one that creates it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD | STRAY)
    for number in _HELD:
        signal.signal(number, signal.SIG_IGN)


def hold_terminations() -> None:
    """Blocks TERM and INT; call it before there are threads, and soon before ``Signals.listen``."""
    signal.pthread_sigmask(signal.SIG_BLOCK, TERMINATION)


@dataclass(frozen=True, slots=True)
class Sender:
    """The process that sent a signal; ``uid`` is None if another process passed the signal on."""

    pid: int
    uid: int | None


class Heard(Protocol):
    """Acts on a signal; ``sender`` is None if it is not known."""

    def __call__(self, number: signal.Signals, sender: Sender | None) -> None: ...


class Signals:
    """The signals of one agent, from ``listen`` to ``close``."""

    def __init__(
        self,
        end: Heard,
        hurry: Callable[[], None],
        reload: Heard,
        sweep: Callable[[], None],
        ignore: Callable[[str, Sender | None], None],
        guardian: int | None = None,
    ) -> None:
        """``end`` stops this node's units; ``hurry`` shortens stop deadlines on a later TERM or
        INT; ``reload`` reads the plan again; ``sweep`` reaps children that have exited;
        ``ignore`` is told the names of other signals. ``guardian``: its pid; it passes signals on
        and says whose they are.
        """
        self._end = end
        self._hurry = hurry
        self._reload = reload
        self._sweep = sweep
        self._ignore = ignore
        self._guardian = guardian
        self._told: float | None = None  # when the first TERM or INT came
        self._descriptor = Descriptor()

    def listen(self) -> None:
        """Begins to act on signals, on the running loop."""
        loop = asyncio.get_running_loop()
        for number in TERMINATION:  # for a thread that does not block them
            loop.add_signal_handler(number, self._terminate, number, None)
        hold()
        hold_terminations()
        self._descriptor = Descriptor(_signalfd(_HELD | TERMINATION | STRAY))
        loop.add_reader(self._descriptor.fileno(), self._read)
        # Not add_signal_handler: uvloop reserves SIGCHLD for itself, though it starts no children.
        signal.signal(signal.SIGCHLD, lambda *_: loop.call_soon_threadsafe(self._sweep))

    def close(self) -> None:
        """Stops acting on signals. A child that exits later must not call into a closed loop."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if self._descriptor.is_open:
            asyncio.get_running_loop().remove_reader(self._descriptor.fileno())
            self._descriptor.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINATION)

    def _read(self) -> None:
        most = RECORD_BYTES * len(_HELD | TERMINATION | STRAY)
        records = os.read(self._descriptor.fileno(), most)
        for at in range(0, len(records), RECORD_BYTES):
            number, code, pid, uid, value = RECORD.unpack_from(records, at)
            if code == SI_QUEUE and pid == self._guardian:
                pid, uid = value, None
            sender = Sender(pid, uid) if pid else None
            if number in STRAY:
                self._ignore(signal_name(number), sender)
            else:
                self._act(signal.Signals(number), sender)

    def _act(self, number: signal.Signals, sender: Sender | None) -> None:
        if number in TERMINATION:
            self._terminate(number, sender)
        elif number == signal.SIGUSR1:
            self._end(number, sender)
        elif number == signal.SIGHUP:
            self._reload(number, sender)

    def _terminate(self, number: signal.Signals, sender: Sender | None) -> None:
        # Slurm's first TERM may come while the cluster is ending already: no reason to hurry.
        if self._told is None:
            self._told = clock.monotonic()
        elif clock.monotonic() - self._told >= REPEATED_S:
            self._hurry()
        self._end(number, sender)


def _signalfd(numbers: Iterable[int]) -> int:
    """A descriptor from which blocked signals are read (signalfd(2)); raises OSError."""
    mask = sum(1 << (number - 1) for number in numbers).to_bytes(128, sys.byteorder)
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    descriptor: int = ctypes.CDLL(None, use_errno=True).signalfd(-1, mask, flags)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor
