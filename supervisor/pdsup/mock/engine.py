"""The engine behind the endpoints: its status, its running requests, its tokens and its health.

The status goes LOADING, STARTING, UP, and from UP to UNHEALTHY and back; SIGTERM makes it STOPPING
for good. Independently of it, the engine can get stuck: a rank is lost, the scheduler is dead, or
the ``hang`` knob says so. A stuck engine makes no token, so requests and /health wait; as in
SGLang, /health turns 503 after its own timeout and a watchdog kills the process later, but only
while the scheduler lives.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from enum import Enum
from typing import NoReturn

from pdsup.mock.faults import Faults, end_process
from pdsup.mock.knobs import BadKnob
from pdsup.mock.options import Options
from pdsup.mock.wire import Job

log = logging.getLogger(__name__)

HEALTH_TIMEOUT = "SGLANG_HEALTH_CHECK_TIMEOUT"
HEALTH_GENERATES = "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION"
FORCE_SHUTDOWN = "SGL_FORCE_SHUTDOWN"


class Status(Enum):
    """The phase of the engine's life, as SGLang's /health sees it."""

    LOADING = "loading"
    STARTING = "starting"
    UP = "up"
    UNHEALTHY = "unhealthy"
    STOPPING = "stopping"


class Engine:
    """The engine of rank 0. It makes tokens unless it is stuck."""

    def __init__(
        self,
        options: Options,
        environment: Mapping[str, str],
        faults: Faults,
        fetch_kv: Callable[[Job], Awaitable[None]],
    ) -> None:
        self.options = options
        self.faults = faults
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
        """Warms up, from the moment --port opens until /health first answers 200."""
        self.status = Status.STARTING
        if not self.options.skip_server_warmup:
            await others_loaded.wait()
            await asyncio.sleep(self.faults.knobs.warmup_seconds)
            await self._wait_until_unstuck()
        self.status = Status.UP

    async def health(self) -> int:
        """The status code of GET /health, after as long as a real worker would take."""
        if status := self.faults.health_status():
            return status
        if self.status not in (Status.UP, Status.UNHEALTHY):
            return 503
        if not self._health_generates or self._is_zombie():
            return 200
        try:
            async with asyncio.timeout(self._health_timeout):
                await asyncio.sleep(self.faults.knobs.health_seconds)
                await self._wait_until_unstuck()
        except TimeoutError:
            log.error("Health check failed. No token within %g s", self._health_timeout)
            self._set_status(Status.UNHEALTHY)
            return 503
        self._set_status(Status.UP)
        return 200 if self.status is Status.UP else 503

    async def tokens(self, job: Job) -> AsyncGenerator[int, None]:
        """Yields the position of each token of a job, as it is made.

        Raises KvTransferFailed before the first one if this job's prefill can't be reached.
        """
        self.running += 1
        try:
            if self.options.disaggregation_mode == "decode":
                await self._fetch_kv(job)
            else:
                await asyncio.sleep(self.faults.knobs.prefill_seconds)
            self.prompt_tokens += job.prompt_tokens
            for position in range(job.tokens):
                await self._make_token(job, position)
                yield position
        finally:
            self.running -= 1

    async def _make_token(self, job: Job, position: int) -> None:
        if 0 < self.faults.knobs.die_after_tokens == position:
            self.faults.die()
        await asyncio.sleep(self.faults.knobs.token_seconds)
        await self._wait_until_unstuck()
        self.generation_tokens += len(job.prompts)

    async def drain(self) -> None:
        """Drains after SIGTERM: refuses new requests, waits without limit for running ones."""
        unhealthy = self.status is Status.UNHEALTHY
        self.status = Status.STOPPING
        log.info("Gracefully exiting... Remaining number of requests %d", self.running)
        while not (unhealthy or self._force_shutdown):
            await asyncio.sleep(self.faults.knobs.drain_poll_seconds)
            if self.running == 0:
                return

    def lose_scheduler(self, code: int) -> None:
        """Handles the child's death: fatal while loading; later ``scheduler_death`` decides."""
        log.error("Subprocess scheduler crashed with exit code %d", code)
        if self.status is Status.LOADING:
            end_process(1)
        if self.faults.knobs.scheduler_death == "dies":
            end_process(-signal.SIGKILL)
        self._scheduler_dead = True

    def lose_rank(self, rank: int) -> None:
        """Handles the loss of another rank: nothing exits, but no more tokens are made."""
        log.warning("Lost rank %d; collectives with it will not return", rank)
        self._rank_lost = True

    def _set_status(self, status: Status) -> None:
        if self.status is not Status.STOPPING:
            self.status = status

    def _is_zombie(self) -> bool:
        return self._scheduler_dead and self.faults.knobs.scheduler_death == "zombie"

    def _is_stuck(self) -> bool:
        return self._rank_lost or self.faults.knobs.hang == "engine"

    async def _wait_until_unstuck(self) -> None:
        """Waits until it can make a token; the watchdog fires only while the scheduler lives."""
        if self._scheduler_dead:
            await _wait_for_ever()
        if not self._is_stuck():
            return
        try:
            async with asyncio.timeout(self.options.watchdog_timeout):
                while self._is_stuck():
                    await self.faults.wait_for_change()
        except TimeoutError:
            log.error("Scheduler watchdog timeout (%g s)", self.options.watchdog_timeout)
            end_process(-signal.SIGKILL)


async def _wait_for_ever() -> NoReturn:
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
