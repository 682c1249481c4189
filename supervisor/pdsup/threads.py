"""Runs what may block for ever, such as a read of a shared file system, in daemon threads.

asyncio's executor does not do: the loop waits for its threads when it is closed, and the
interpreter when it exits, so one read that hangs would keep an agent from ever ending. A daemon
thread that hangs is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


async def apart(work: Callable[[], T], within: float) -> T:
    """Runs ``work`` in a thread of its own and returns its result.

    Raises TimeoutError after ``within`` seconds. For what is not repeated: the thread may stay.
    """
    async with asyncio.timeout(within):
        return await _started(work)


class Turns:
    """Runs one piece of work after another, each in a thread.

    While one hangs, no other begins: whoever repeats something leaves at most one thread behind.
    """

    def __init__(self) -> None:
        self._last: asyncio.Future[object] | None = None

    async def run(self, work: Callable[[], T], within: float) -> T:
        """As ``apart``; the time that others take first counts too."""
        async with asyncio.timeout(within):
            while self._last is not None and not self._last.done():
                await asyncio.wait([self._last])
            begun = _started(work)
            self._last = cast("asyncio.Future[object]", begun)
            return await asyncio.shield(begun)


def _started(work: Callable[[], T]) -> asyncio.Future[T]:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    done.add_done_callback(_heard)

    def finish(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(T, result))

    def run() -> None:
        try:
            outcome: tuple[T | None, BaseException | None] = work(), None
        except Exception as error:
            outcome = None, error
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(finish, *outcome)

    threading.Thread(target=run, daemon=True, name="apart").start()
    return done


def _heard(done: asyncio.Future[T]) -> None:
    """Whoever gave up waiting does not want to know how it failed."""
    if not done.cancelled():
        done.exception()
