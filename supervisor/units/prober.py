"""Asks a running unit whether it is ready, and tells changes of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from supervisor.plan.model import Check, Gauges, Probe, Probes
from supervisor.units import gauges


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
            detail = await self._check(check, probe.timeout_s, address, ports)
            if detail is not None:
                return f"{address}:{ports[check.port]}{check.path or ''}: {detail}"
        return None

    async def _check(
        self, check: Check, within: float, address: str, ports: dict[str, int]
    ) -> str | None:
        port = ports[check.port]
        if check.path is None:
            return (await _bounded(_connected(address, port), within)).failure
        url = f"http://{address}:{port}{check.path}"
        answer = await _bounded(self._get(url, whole=check.gauges is not None), within)
        if answer.failure or check.gauges is None:
            return answer.failure
        groups = gauges.exhausted(check.gauges, answer.text)
        return await self._try(check.gauges, groups, address, ports) if groups else None

    async def _try(
        self, asked: Gauges, groups: tuple[str, ...], address: str, ports: dict[str, int]
    ) -> str | None:
        """None when what looks bad serves all the same."""
        bad, trial = gauges.sentence(asked, groups), asked.trial
        if trial is None:
            return bad
        url = f"http://{address}:{ports[trial.port]}{trial.path}"
        failure = (await _bounded(self._post(url, trial.body), trial.timeout_s)).failure
        return failure and f"{bad}, and a trial request failed: {failure}"

    # A kept connection would hide that the port has closed since. A redirect is no yes: it may
    # lead to another unit.

    async def _get(self, url: str, *, whole: bool) -> _Answer:
        async with self._session.get(
            url, headers={"Connection": "close"}, allow_redirects=False
        ) as response:
            return _Answer(_refusal(response), await response.text() if whole else "")

    async def _post(self, url: str, body: str) -> _Answer:
        headers = {"Connection": "close", "Content-Type": "application/json"}
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as response:
            return _Answer(_refusal(response))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of a question. ``failure``: why that is no yes, in a few words."""

    failure: str | None
    text: str = ""


def _refusal(response: aiohttp.ClientResponse) -> str | None:
    return None if response.status // 100 == 2 else f"HTTP {response.status}"


async def _connected(address: str, port: int) -> _Answer:
    await connect(address, port)
    return _Answer(None)


async def _bounded(asked: Awaitable[_Answer], within: float) -> _Answer:
    try:
        async with asyncio.timeout(within):
            return await asked
    except TimeoutError:
        return _Answer(f"no answer within {within:g} s")
    except (OSError, UnicodeError, aiohttp.ClientError) as error:  # UnicodeError: bad host
        return _Answer(cause(error))


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
