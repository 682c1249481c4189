"""Brings what happens to one hook, one event at a time, while nobody waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from supervisor.agent.announcer import Log

# Of a hook that is behind: what comes now would be no news any more when its turn came.
MOST_WAITING = 100


class Courier:
    """Of the hook ``name``. ``deliver`` brings one event there, and returns why it could not."""

    def __init__(
        self, name: str, deliver: Callable[[bytes], Awaitable[str | None]], log: Log
    ) -> None:
        self._name = name
        self._deliver = deliver
        self._log = log
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._missed = 0
        self._failures = 0
        self._problem: str | None = None

    def take(self, event: bytes) -> None:
        """Never waits: where too much waits already, the event is counted as missed."""
        if len(self._waiting) >= MOST_WAITING:
            if not self._missed:
                self._log.warning("hook is too slow: it misses events", hook=self._name)
            self._missed += 1
            return
        self._waiting.append(event)
        self._idle.clear()
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    self._judge(await self._deliver(self._waiting.popleft()))
                self._tell_missed()
                self._idle.set()
        finally:
            self._missed += len(self._waiting)
            self._tell_missed()

    async def finish(self) -> None:
        """Returns when nothing waits."""
        await self._idle.wait()

    def _judge(self, problem: str | None) -> None:
        """A hook that fails each time is told of once for each reason, and when it works again."""
        before, self._problem = self._problem, problem
        if problem is None:
            if self._failures:
                self._log.info("hook works again", hook=self._name, failed=self._failures)
            self._failures = 0
            return
        self._failures += 1
        if problem != before:
            self._log.warning("hook failed", hook=self._name, cause=problem)

    def _tell_missed(self) -> None:
        if self._missed:
            self._log.warning("hook missed events", hook=self._name, missed=self._missed)
            self._missed = 0
