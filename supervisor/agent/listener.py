"""Hears the signals that an agent is sent."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Protocol


class End(Protocol):
    """Begins the end of this node's units, and of all nodes' if wanted."""

    def __call__(self, reason: str, *, of_cluster: bool) -> None:
        """``reason``: what the report tells the others."""


class Listener:
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

    def listen(self) -> None:
        """From now on, on the running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate, number.name)
        reason = "SIGUSR1 (wall time is near)"
        loop.add_signal_handler(signal.SIGUSR1, lambda: self._end(reason, of_cluster=False))
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        # uvloop refuses a handler of its own for this one, though it starts no children here.
        signal.signal(signal.SIGCHLD, lambda *_: loop.call_soon_threadsafe(self._sweep))

    def close(self) -> None:
        """A child that ends later must not call into a loop that is closed."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _terminate(self, name: str) -> None:
        self._terminations += 1
        # Slurm's first one may come while the cluster ends already: that is no reason to hurry.
        if self._terminations > 1:
            self._hurry()
        self._end(name, of_cluster=False)
