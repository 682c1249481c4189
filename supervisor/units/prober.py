"""Asks a running unit whether it is ready, and tells changes of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from supervisor.plan.model import Check, Probe, Probes


class Prober:
    """Questions to units of one node. One client session serves them all."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def watch(
        self,
        probes: Probes,
        address: str,
        ports: dict[str, int],
        ready: Callable[[], None],
        not_ready: Callable[[str], None],
    ) -> None:
        """Asks the startup question until its first yes, then the readiness question for ever.

        ``ready()`` is called at the first yes and at each return of it; ``not_ready(detail)`` at
        each no before the first yes, and afterwards once the probe's ``failures`` in a row are
        reached. Cancel it when the run ends.
        """
        if probes.startup is not None:
            while (detail := await self.ask(probes.startup, address, ports)) is not None:
                not_ready(detail)
                await asyncio.sleep(probes.startup.period_s)
        ready()
        if probes.readiness is not None:
            await self._keep_asking(probes.readiness, address, ports, ready, not_ready)

    async def _keep_asking(
        self,
        probe: Probe,
        address: str,
        ports: dict[str, int],
        ready: Callable[[], None],
        not_ready: Callable[[str], None],
    ) -> None:
        failures = 0
        while True:
            await asyncio.sleep(probe.period_s)
            detail = await self.ask(probe, address, ports)
            if detail is None and failures >= probe.failures:
                ready()
            failures = 0 if detail is None else failures + 1
            if detail is not None and failures >= probe.failures:
                not_ready(detail)

    async def ask(self, probe: Probe, address: str, ports: dict[str, int]) -> str | None:
        """None when every check passes, else one sentence about the first that does not."""
        for check in probe.checks:
            port = ports[check.port]
            try:
                async with asyncio.timeout(probe.timeout_s):
                    detail = await self._check(check, address, port)
            except TimeoutError:
                detail = f"no answer within {probe.timeout_s:g} s"
            except (OSError, UnicodeError, aiohttp.ClientError) as error:  # UnicodeError: bad host
                detail = cause(error)
            if detail is not None:
                return f"{address}:{port}{check.path or ''}: {detail}"
        return None

    async def _check(self, check: Check, address: str, port: int) -> str | None:
        if check.path is None:
            await connect(address, port)
            return None
        url = f"http://{address}:{port}{check.path}"
        # A kept connection would hide that the port has closed since. A redirect is no yes: it
        # may lead to another unit.
        async with self._session.get(
            url, headers={"Connection": "close"}, allow_redirects=False
        ) as response:
            return None if response.status // 100 == 2 else f"HTTP {response.status}"


async def connect(address: str, port: int) -> None:
    """Opens a TCP connection and closes it; raises OSError when that fails."""
    _, writer = await asyncio.open_connection(address, port)
    writer.close()


def cause(error: Exception) -> str:
    """Why a connection or request failed, in a few words."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error) or type(error).__name__
