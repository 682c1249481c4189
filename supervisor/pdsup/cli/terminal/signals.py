"""The signals that end a command, for verbs that must not leave their children behind."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from pdsup.units.process.guardian import ENDING

Handler = Callable[[int, FrameType | None], None]

# A terminal sends these to every process in the foreground, children included.
OF_TERMINAL = frozenset({signal.SIGINT, signal.SIGQUIT})


@contextlib.contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """Calls ``handler`` for each signal that would end this process.

    A signal that was ignored (nohup) stays ignored, and no other becomes so in a child.
    """
    heard = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
    former = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


def name(number: int) -> str:
    """The name of a signal, such as ``SIGUSR1``, or ``signal 40`` if it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
