"""Asks the driver about this node's GPUs, where there are any and NVML's package is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from supervisor.units.caller import Caller
from supervisor.units.gpus import Gpu, Holder

T = TypeVar("T")

# Of nvmlDeviceGetCurrentClocksThrottleReasons: hardware slowdown, software and hardware thermal
# slowdown, power brake. The other reasons are no trouble: idle, or the power limit that was set.
TROUBLE = 0x08 | 0x20 | 0x40 | 0x80

# A driver that hangs is asked again when it has answered.
ANSWER_S = 2.0


class Gpumeter:
    """Asks for everybody on this node."""

    def __init__(self) -> None:
        self._gpus = Caller(lambda: gpus())
        self._holders = Caller(lambda: holders())

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
