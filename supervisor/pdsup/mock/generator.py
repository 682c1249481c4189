"""The engine behind the endpoints: its status, what runs, and how tokens and health come about."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from enum import Enum
from typing import NoReturn

from pdsup.mock import injector as faults
from pdsup.mock.answers import Job
from pdsup.mock.injector import Injector
from pdsup.mock.knobs import BadKnob
from pdsup.mock.options import Options

log = logging.getLogger(__name__)

HEALTH_TIMEOUT = "SGLANG_HEALTH_CHECK_TIMEOUT"
HEALTH_GENERATES = "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"
FORCE_SHUTDOWN = "SGL_FORCE_SHUTDOWN"


class Status(Enum):
    """Where the engine is in its life, as SGLang's /health sees it."""

    LOADING = "loading"
    STARTING = "starting"
    UP = "up"
    UNHEALTHY = "unhealthy"
    STOPPING = "stopping"


class Engine:
    """Makes tokens while nothing keeps it from that. Rank 0 only."""

    def __init__(
        self,
        options: Options,
        environment: Mapping[str, str],
        injector: Injector,
        fetch_kv: Callable[[Job], Awaitable[None]],
    ) -> None:
        self.options = options
        self.injector = injector
        self.status = Status.LOADING
        self.running = 0
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self._fetch_kv = fetch_kv
        self._health_timeout = _seconds(environment, HEALTH_TIMEOUT, "20")
        self._health_generates = _on(environment, HEALTH_GENERATES, "1")
        self._force_shutdown = _on(environment, FORCE_SHUTDOWN, "0")
        self._scheduler_dead = False
        self._rank_lost = False

    async def warm_up(self, others_loaded: asyncio.Event) -> None:
        """From the opening of --port to the first good health."""
        self.status = Status.STARTING
        if not self.options.skip_server_warmup:
            await others_loaded.wait()
            await asyncio.sleep(self.injector.knobs.warmup_seconds)
            await self._turn()
        self.status = Status.UP

    async def health(self) -> int:
        """The status of GET /health, after as long as the real one would take for it."""
        if status := self.injector.health_status():
            return status
        if self.status not in (Status.UP, Status.UNHEALTHY):
            return 503
        if not self._health_generates or self._is_zombie():
            return 200
        try:
            async with asyncio.timeout(self._health_timeout):
                await asyncio.sleep(self.injector.knobs.health_seconds)
                await self._turn()
        except TimeoutError:
            log.error("Health check failed. No token within %g s", self._health_timeout)
            self._becomes(Status.UNHEALTHY)
            return 503
        self._becomes(Status.UP)
        return 200 if self.status is Status.UP else 503

    async def tokens(self, job: Job) -> AsyncGenerator[int, None]:
        """The positions of a job's tokens, each when it is made.

        Raises KvTransferFailed before the first when the prefill of this job cannot be reached.
        """
        self.running += 1
        try:
            if self.options.disaggregation_mode == "decode":
                await self._fetch_kv(job)
            else:
                await asyncio.sleep(self.injector.knobs.prefill_seconds)
            self.prompt_tokens += job.prompt_tokens
            for position in range(job.tokens):
                await self._make_token(job, position)
                yield position
        finally:
            self.running -= 1

    async def _make_token(self, job: Job, position: int) -> None:
        if 0 < self.injector.knobs.die_after_tokens == position:
            self.injector.die()
        await asyncio.sleep(self.injector.knobs.token_seconds)
        await self._turn()
        self.generation_tokens += len(job.prompts)

    async def drain(self) -> None:
        """After SIGTERM: refuses what comes, waits without limit for what runs."""
        unhealthy = self.status is Status.UNHEALTHY
        self.status = Status.STOPPING
        log.info("Gracefully exiting... Remaining number of requests %d", self.running)
        while not (unhealthy or self._force_shutdown):
            await asyncio.sleep(self.injector.knobs.drain_poll_seconds)
            if self.running == 0:
                return

    def lose_scheduler(self, code: int) -> None:
        """What a dead child means. While loading it is fatal; later the knob decides."""
        log.error("Subprocess scheduler crashed with exit code %d", code)
        if self.status is Status.LOADING:
            faults.end_process(1)
        if self.injector.knobs.scheduler_death == "dies":
            faults.end_process(-signal.SIGKILL)
        self._scheduler_dead = True

    def lose_rank(self, rank: int) -> None:
        """Another rank of the gang is gone: nothing stops, and no token comes any more."""
        log.warning("Lost rank %d; collectives with it will not return", rank)
        self._rank_lost = True

    def _becomes(self, status: Status) -> None:
        if self.status is not Status.STOPPING:
            self.status = status

    def _is_zombie(self) -> bool:
        return self._scheduler_dead and self.injector.knobs.scheduler_death == "zombie"

    def _is_stuck(self) -> bool:
        return self._rank_lost or self.injector.knobs.hang == "engine"

    async def _turn(self) -> None:
        """Returns when the engine can make a token; the watchdog bounds only a living scheduler."""
        if self._scheduler_dead:
            await _for_ever()
        if not self._is_stuck():
            return
        try:
            async with asyncio.timeout(self.options.watchdog_timeout):
                while self._is_stuck():
                    await self.injector.news()
        except TimeoutError:
            log.error("Scheduler watchdog timeout (%g s)", self.options.watchdog_timeout)
            faults.end_process(-signal.SIGKILL)


async def _for_ever() -> NoReturn:
    while True:
        await asyncio.Event().wait()


def _seconds(environment: Mapping[str, str], name: str, default: str) -> float:
    text = environment.get(name, default)
    try:
        return float(text)
    except ValueError:
        raise BadKnob(f"{name}: {text!r} is not a number of seconds") from None


def _on(environment: Mapping[str, str], name: str, default: str) -> bool:
    return environment.get(name, default).lower() in ("1", "true", "yes", "on")
