"""Keeps a defect in one part of an agent from ending the rest of it.

An exception that nobody expected would end all tasks of an agent. Its guardian starts another one,
but where the cause is still there, that one ends too, and soon nothing is supervised for half a
minute at a time. So each part says what goes on instead: a unit handles its next event, a probe is
asked again, a loop starts again. What was under way may be half done; deadlines and the next report
put it right. The defect itself is logged once, with its traceback.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Protocol

# How long a part rests after a defect, which may come again at once.
REST_S = 1.0
MOST_KNOWN = 200


class Log(Protocol):
    """The method of a logger used here."""

    def warning(self, event: str, **facts: object) -> None:
        """Logs something that a user should know."""


class Contained:
    """What ``Defects.contained`` returns; no generator, as dozens are made for each restart."""

    __slots__ = ("_defects", "_where")

    def __init__(self, defects: Defects, where: str) -> None:
        self._defects = defects
        self._where = where

    def __enter__(self) -> None:
        """Nothing is needed."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool:
        """Logs a defect, whatever it is; what ends a task or the program is none."""
        if error is None or not isinstance(error, Exception):
            return False
        self._defects.tell(self._where, error)
        return True


class Defects:
    """The defects of one agent."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._known: set[tuple[str, str]] = set()

    def contained(self, where: str) -> Contained:
        """Ends a ``with`` at a defect, which is logged as one of ``where``."""
        return Contained(self, where)

    async def kept_up(self, where: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does a piece of work, again and again until it ends without a defect."""
        while True:
            try:
                return await work()
            except Exception as error:  # whatever it is
                self.tell(where, error)
            await asyncio.sleep(REST_S)

    def tell(self, where: str, error: Exception) -> None:
        """Logs a defect, unless it was logged before."""
        trace = "".join(traceback.format_exception(error))
        key = (where, repr(error))
        if key not in self._known and len(self._known) < MOST_KNOWN:
            self._known.add(key)
            self._log.warning(
                "a defect of pdsup; the agent goes on", where=where, cause=repr(error), trace=trace
            )
