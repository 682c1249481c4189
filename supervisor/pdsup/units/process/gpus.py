"""This node's GPUs, asked of the driver (NVML) in a thread of its own, since a driver may hang."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pdsup import clock
from pdsup.units.process.gpu import Gpu, Holder

T = TypeVar("T")

# Of nvmlDeviceGetCurrentClocksThrottleReasons: hardware slowdown, software and hardware thermal
# slowdown, power brake. The other reasons are no trouble: idle, or the power limit that was set.
TROUBLE = 0x08 | 0x20 | 0x40 | 0x80

# A driver that hangs is asked again when it has answered.
ANSWER_S = 2.0


class GpuReadings:
    """Asks for everybody on this node."""

    def __init__(self) -> None:
        self._gpus = BoundedCall(lambda: gpus())
        self._holders = BoundedCall(lambda: holders())

    async def read(self, *, kept_s: float = 0.0) -> tuple[Gpu, ...] | None:
        """As ``gpus``, or as it was at most ``kept_s`` ago; None while the driver does not answer.

        It has 2 s for that, once.
        """
        return await self._gpus.ask(ANSWER_S, kept_s=kept_s)

    async def holders(self, *, kept_s: float = 0.0) -> tuple[Holder, ...] | None:
        """As ``holders`` of all GPUs, in the same way."""
        return await self._holders.ask(ANSWER_S, kept_s=kept_s)


def gpus() -> tuple[Gpu, ...]:
    """Every GPU of this node; none where there is no package, driver or GPU. May take a second."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return ()
    return look(nvml)


def look(nvml: Any) -> tuple[Gpu, ...]:
    """By the package, which is an argument so that tests need no GPU."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver
        return ()
    try:
        return tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    except nvml.NVMLError:
        return ()
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu:
    """A GPU that fell off the bus still counts as one, and one that lacks a sensor (parts of a GPU
    have no utilization, some have no meter for power) is up.
    """
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError:
        return Gpu(index=index, up=False)

    def told(ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except nvml.NVMLError:
            return None

    return Gpu(
        index=index,
        up=True,
        memory_used=memory.used,
        memory=memory.total,
        utilization=told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100),
        celsius=told(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        watts=told(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        throttled=told(
            lambda: bool(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) & TROUBLE)
        ),
    )


def holders(indexes: tuple[int, ...] | None = None) -> tuple[Holder, ...]:
    """Every process with memory on one of these GPUs, or on any, as far as it can be known, as
    ``gpus``.
    """
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return ()
    return look_for_holders(nvml, indexes)


def look_for_holders(nvml: Any, indexes: tuple[int, ...] | None) -> tuple[Holder, ...]:
    """By the package, as ``look``."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver
        return ()
    try:
        asked = range(nvml.nvmlDeviceGetCount()) if indexes is None else indexes
        return tuple(found for index in asked for found in _holders(nvml, index))
    except nvml.NVMLError:
        return ()
    finally:
        nvml.nvmlShutdown()


def _holders(nvml: Any, index: int) -> tuple[Holder, ...]:
    """A GPU that can't be asked has none: that it is lost is for the unit to say."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        found = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return ()
    # What a process has is not told everywhere (None).
    return tuple(Holder(index, one.pid, one.usedGpuMemory or 0) for one in found)


class BoundedCall(Generic[T]):
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
