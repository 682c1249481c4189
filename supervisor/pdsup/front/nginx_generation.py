"""Checks which configuration the workers of the running nginx use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import aiohttp

from pdsup import clock
from pdsup.errors import SupervisorError
from pdsup.times import duration

# All in seconds.
VERIFY_S = 5.0  # from a start or a reload to the reply that proves it
ASK_S = 1.0
ASK_EVERY_S = 0.01
# The master lets old workers accept for another 100 ms after it started new ones
# (ngx_master_process_cycle); they must not send a request to a router that left.
STEADY_S = 0.15


class GenerationCheck:
    """One nginx, which returns its generation at ``url``. ``runs`` says whether it runs at all."""

    def __init__(self, session: aiohttp.ClientSession, url: str, runs: Callable[[], bool]) -> None:
        self._session = session
        self._url = url
        self._runs = runs

    async def first(self) -> str | None:
        """The generation that nginx runs; None if it exits first.

        Raises SupervisorError after 5 s without a reply.
        """
        try:
            async with asyncio.timeout(VERIFY_S):
                while self._runs():
                    if (generation := await self._ask()) is not None:
                        return generation
                    await asyncio.sleep(ASK_EVERY_S)
        except TimeoutError:
            raise SupervisorError(
                f"cannot reload nginx: no reply from {self._url} for {duration(VERIFY_S)}"
            ) from None
        return None

    async def steadily(self, generation: str, longer: float) -> bool:
        """Returns True once every reply for ``STEADY_S + longer`` seconds was this generation.

        Returns False if nginx exits first; raises SupervisorError after 5 s.
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
                f"cannot reload nginx: {duration(VERIFY_S)} after the signal {self._url} says "
                f"{heard}, not {generation}; see the log of nginx"
            ) from None
        return False

    async def _ask(self) -> str | None:
        """The generation of one worker; a new connection may reach another worker each time."""
        with suppress(OSError, aiohttp.ClientError):  # a TimeoutError is an OSError
            async with (
                asyncio.timeout(ASK_S),
                self._session.get(self._url, headers={"Connection": "close"}) as response,
            ):
                return (await response.content.read(100)).decode(errors="replace")
        return None
