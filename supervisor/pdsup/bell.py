"""A bell wakes all tasks that wait for something to change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Bell:
    """Wakes every task that waits at the moment it is rung."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the bell is closed: nothing waits on it any longer."""
        return self._closed

    def ring(self) -> None:
        """Wakes the current waiters; later ones wait for the next ring."""
        self._next.set()
        self._next = asyncio.Event()

    def close(self) -> None:
        """Releases all waiters, now and later: long polls of clients must not delay a shutdown."""
        self._closed = True
        self.ring()

    async def wait_until(self, done: Callable[[], bool], within: float) -> bool:
        """Waits at most ``within`` seconds until ``done()``, called at each ring, is true."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not (self._closed or done()):
                    await self._next.wait()
        return done()
