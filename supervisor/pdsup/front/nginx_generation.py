"""Asks the running nginx which configuration its workers have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from pdsup import clock
from pdsup.errors import SupervisorError

# All in seconds.
VERIFY_S = 5.0  # from a start or a reload to the answer that proves it
ASK_S = 1.0
ASK_EVERY_S = 0.01
# The master lets old workers accept for 100 ms more after it started new ones
# (ngx_master_process_cycle); a router that left must get nothing from them either.
STEADY_S = 0.15


class GenerationCheck:
    """One nginx, at the URL where it tells its generation. ``runs`` says whether it runs at all."""

    def __init__(self, session: aiohttp.ClientSession, url: str, runs: Callable[[], bool]) -> None:
        self._session = session
        self._url = url
        self._runs = runs

    async def first(self) -> str | None:
        """The generation nginx runs; None when it ended before it told.

        Raises SupervisorError after 5 s without an answer.
        """
        try:
            async with asyncio.timeout(VERIFY_S):
                while self._runs():
                    if (heard := await self._ask()) is not None:
                        return heard
                    await asyncio.sleep(ASK_EVERY_S)
        except TimeoutError:
            raise SupervisorError(
                f"cannot reload nginx: {self._url} gave no answer for {VERIFY_S:g} s"
            ) from None
        return None

    async def steadily(self, generation: str, longer: float) -> bool:
        """True when every answer for a while, and so much longer, was this one; False when nginx
        ended.

        Raises SupervisorError after 5 s with another.
        """
        heard: str | None = None
        since = clock.monotonic()
        try:
            async with asyncio.timeout(VERIFY_S):
                while self._runs():
                    heard = await self._ask()
                    if heard != generation:
                        since = clock.monotonic()
                    elif clock.monotonic() - since >= STEADY_S + longer:
                        return True
                    await asyncio.sleep(ASK_EVERY_S)
        except TimeoutError:
            raise SupervisorError(
                f"cannot reload nginx: {VERIFY_S:g} s after the signal {self._url} says "
                f"{heard}, not {generation}; the log of nginx tells why"
            ) from None
        return False

    async def _ask(self) -> str | None:
        """A new connection each time, because each worker process answers for itself."""
        with suppress(OSError, aiohttp.ClientError):  # a TimeoutError is an OSError
            async with (
                asyncio.timeout(ASK_S),
                self._session.get(self._url, headers={"Connection": "close"}) as response,
            ):
                return (await response.content.read(100)).decode(errors="replace")
        return None
