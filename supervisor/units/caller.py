"""Calls what may hang, a driver, so that it holds up neither the loop nor an end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from supervisor import clock

T = TypeVar("T")


class Caller(Generic[T]):
    """One function. One thread at most is in it, and none of the pool, for which an agent that ends
    would wait.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._answer: asyncio.Future[T | None] | None = None
        self._at = 0.0  # when it came
        self._late = False

    async def ask(self, within_s: float, *, kept_s: float = 0.0) -> T | None:
        """Its answer, or the last one when that is younger than ``kept_s``; None when there is none
        in time. A thread that was too late once is not waited for again: its answer serves whoever
        asks within ``kept_s`` of it.
        """
        answer = self._answer
        if answer is None or (answer.done() and clock.monotonic() - self._at >= kept_s):
            answer = self._answer = self._begin()
        if not answer.done() and not self._late:
            await asyncio.wait([answer], timeout=within_s)
            self._late = not answer.done()
        return answer.result() if answer.done() else None

    def _begin(self) -> asyncio.Future[T | None]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T | None] = loop.create_future()
        threading.Thread(target=self._call, args=(loop, answer), daemon=True).start()
        return answer

    def _call(self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T | None]) -> None:
        found = None
        # Whatever a driver's package of another version raises: it can't tell, and that is all.
        with contextlib.suppress(Exception):
            found = self._function()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._take, answer, found)

    def _take(self, answer: asyncio.Future[T | None], found: T | None) -> None:
        self._at = clock.monotonic()
        self._late = False
        answer.set_result(found)
