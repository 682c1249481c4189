"""A bell: whoever waits for something to change is woken when it is rung."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Bell:
    """Wakes everybody who waits at the moment it is rung."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nobody waits any more."""
        return self._closed

    def ring(self) -> None:
        """Wakes the waiters of now; later ones wait for the next ring."""
        self._next.set()
        self._next = asyncio.Event()

    def close(self) -> None:
        """Nobody waits any more, now or later: requests of others must not hold up an end."""
        self._closed = True
        self.ring()

    async def wait_until(self, done: Callable[[], bool], within: float) -> bool:
        """Waits until ``done()``, asked at each ring, for at most ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not (self._closed or done()):
                    await self._next.wait()
        return done()
