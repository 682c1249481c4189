"""The pulse of an agent: shows that its event loop moves, and remembers when it did not. It also
notices that somebody has set the wall clock.

An agent stands still when it is stopped, when a file system hangs under it, or when the whole
machine pauses. Then every deadline of the loop is overdue at once when it goes on, so what looks
like the silence of another node may have been its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pdsup import clock

PERIOD_S = 2.0
# A tick that is later than this shows that the loop stood still.
LATE_S = 1.0
# For how long after that the silence of others proves nothing.
EXCUSED_S = 2.0


# By how much the wall clock may drift, or be slewed, before it counts as set.
SET_S = 1.0


class Pulse:
    """Ticks on the running loop. ``tell`` is called with each tick."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._ticked = clock.monotonic()
        self._late = -EXCUSED_S  # when a late tick came

    async def run(self, clock_set: Callable[[float], None]) -> None:
        """Ticks until cancelled. ``clock_set`` is called if the wall clock was set since the last
        tick, with the seconds by which it is further ahead.
        """
        ahead = _ahead()
        while True:
            self._tick()
            if abs((now := _ahead()) - ahead) > SET_S:
                clock_set(now - ahead)
                ahead = now
            await asyncio.sleep(PERIOD_S)

    def stood_still(self) -> bool:
        """Whether the loop stood still up to now, or until a moment ago."""
        now = clock.monotonic()
        return self._is_late(now) or now - self._late < EXCUSED_S

    def _tick(self) -> None:
        now = clock.monotonic()
        if self._is_late(now):
            self._late = now
        self._ticked = now
        self._tell()

    def _is_late(self, now: float) -> bool:
        return now - self._ticked > PERIOD_S + LATE_S


def _ahead() -> float:
    """By how many seconds the wall clock is ahead of the monotonic one."""
    return clock.wall() - clock.monotonic()
