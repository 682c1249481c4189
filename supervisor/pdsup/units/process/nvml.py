"""Reads this node's GPUs from the driver (NVML), in a thread of its own: a driver may hang."""

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

# Bits of nvmlDeviceGetCurrentClocksThrottleReasons that mean trouble: hardware slowdown, software
# and hardware thermal slowdown, power brake. The others are harmless: idle, or a set power limit.
TROUBLE = 0x08 | 0x20 | 0x40 | 0x80

# How long to wait for the driver; one that hangs is not called again until it has answered.
ANSWER_S = 2.0


class GpuReadings:
    """Reads the GPUs for all units of this node."""

    def __init__(self) -> None:
        self._gpus = BoundedCall(lambda: gpus())
        self._holders = BoundedCall(lambda: holders())

    async def read(self, *, kept_s: float = 0.0) -> tuple[Gpu, ...] | None:
        """Returns what ``gpus`` returns, or did at most ``kept_s`` seconds ago; None while the
        driver does not answer, for which it has 2 s, once.
        """
        return await self._gpus.ask(ANSWER_S, kept_s=kept_s)

    async def holders(self, *, kept_s: float = 0.0) -> tuple[Holder, ...] | None:
        """Returns what ``holders`` returns for all GPUs, in the same way."""
        return await self._holders.ask(ANSWER_S, kept_s=kept_s)


def gpus() -> tuple[Gpu, ...]:
    """Reads every GPU of this node; none without NVML package or driver. It may take a second."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return ()
    return look(nvml)


def look(nvml: Any) -> tuple[Gpu, ...]:
    """Reads every GPU through the package ``nvml``, an argument so that tests need no GPU."""
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
    """Reads one GPU. One that fell off the bus is still counted, as not up; one that lacks a sensor
    is up (MIG slices have no utilization, some GPUs no power meter).
    """
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError:
        return Gpu(index=index, up=False)

    def read(sensor: Callable[[], T]) -> T | None:
        try:
            return sensor()
        except nvml.NVMLError:
            return None

    return Gpu(
        index=index,
        up=True,
        memory_used=memory.used,
        memory=memory.total,
        utilization=read(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100),
        celsius=read(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        watts=read(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        throttled=read(
            lambda: bool(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) & TROUBLE)
        ),
    )


def holders(indexes: tuple[int, ...] | None = None) -> tuple[Holder, ...]:
    """Lists the processes with memory on these GPUs, by default on all; none where ``gpus`` reads
    none.
    """
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return ()
    return look_for_holders(nvml, indexes)


def look_for_holders(nvml: Any, indexes: tuple[int, ...] | None) -> tuple[Holder, ...]:
    """Lists them through the package ``nvml``, as ``look`` does."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver
        return ()
    try:
        asked = range(nvml.nvmlDeviceGetCount()) if indexes is None else indexes
        return tuple(holder for index in asked for holder in _holders(nvml, index))
    except nvml.NVMLError:
        return ()
    finally:
        nvml.nvmlShutdown()


def _holders(nvml: Any, index: int) -> tuple[Holder, ...]:
    """Lists the holders of one GPU; none if it cannot be read, which is reported elsewhere."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return ()
    # The driver does not report the memory of a process everywhere; then it is None.
    return tuple(Holder(index, each.pid, each.usedGpuMemory or 0) for each in processes)


class BoundedCall(Generic[T]):
    """Calls a function that may hang, with a time limit.

    At most one thread is in the function. It is none of the executor's, for which an agent that
    exits would wait.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._answer: asyncio.Future[T | None] | None = None
        self._at = 0.0  # when the answer came
        self._late = False

    async def ask(self, within_s: float, *, kept_s: float = 0.0) -> T | None:
        """Returns the function's answer, or the last one if it is younger than ``kept_s`` seconds;
        None if there is none within ``within_s``. A call that was late once is not waited for
        again: its answer, when it comes, is kept for ``kept_s``.
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
        answered = None
        # A package of another version may raise anything; then there is no answer.
        with contextlib.suppress(Exception):
            answered = self._function()
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits for it
            loop.call_soon_threadsafe(self._take, answer, answered)

    def _take(self, future: asyncio.Future[T | None], answer: T | None) -> None:
        self._at = clock.monotonic()
        self._late = False
        future.set_result(answer)
