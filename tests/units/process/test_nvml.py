"""What the driver tells of GPUs, by a stand-in for its package."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace
from typing import Any

import pytest

from pdsup.units.process import nvml as nvml_module
from pdsup.units.process.gpu import Gpu, Holder


class Failure(Exception):
    """As the package's own error."""


def nvml(count: int = 2, lost: tuple[int, ...] = (), throttle: int = 0, driver: bool = True) -> Any:
    """The functions of the package that are used, on a node with ``count`` GPUs."""
    made = types.SimpleNamespace(NVMLError=Failure, NVML_TEMPERATURE_GPU=0, open=0)

    def init() -> None:
        if not driver:
            raise Failure("no driver")
        made.open += 1

    def shutdown() -> None:
        made.open -= 1

    def handle(index: int) -> int:
        if index in lost:
            raise Failure("GPU is lost")
        return index

    made.nvmlInit, made.nvmlShutdown = init, shutdown
    made.nvmlDeviceGetCount = lambda: count
    made.nvmlDeviceGetHandleByIndex = handle
    made.nvmlDeviceGetMemoryInfo = lambda _: SimpleNamespace(used=5 << 30, total=80 << 30)
    made.nvmlDeviceGetUtilizationRates = lambda _: SimpleNamespace(gpu=75)
    made.nvmlDeviceGetTemperature = lambda handle, kind: 60 + handle
    made.nvmlDeviceGetPowerUsage = lambda _: 412_500
    made.nvmlDeviceGetCurrentClocksThrottleReasons = lambda _: throttle
    made.nvmlDeviceGetComputeRunningProcesses = lambda handle: [
        SimpleNamespace(pid=100 + handle, usedGpuMemory=7 << 30),
        SimpleNamespace(pid=200 + handle, usedGpuMemory=None),
    ]
    return made


def test_each_gpu_is_told_in_base_units() -> None:
    package = nvml()
    assert nvml_module.look(package) == (
        Gpu(0, True, 5 << 30, 80 << 30, 0.75, 60, 412.5, False),
        Gpu(1, True, 5 << 30, 80 << 30, 0.75, 61, 412.5, False),
    )
    assert package.open == 0


def test_a_gpu_that_was_lost_counts_and_the_others_are_told() -> None:
    found = nvml_module.look(nvml(count=3, lost=(1,)))
    assert [(one.index, one.up) for one in found] == [(0, True), (1, False), (2, True)]
    assert found[1].memory is None


def test_a_gpu_without_some_sensor_is_up_and_tells_the_rest() -> None:
    package = nvml(count=1)

    def lacks(_: Any) -> None:
        raise Failure("not supported")

    package.nvmlDeviceGetPowerUsage = package.nvmlDeviceGetUtilizationRates = lacks
    assert nvml_module.look(package) == (Gpu(0, True, 5 << 30, 80 << 30, None, 60, None, False),)


@pytest.mark.parametrize(
    ("reasons", "throttled"),
    [(0, False), (0x01, False), (0x04, False), (0x08, True), (0x20, True), (0x40, True),
     (0x80, True), (0x05, False), (0x45, True)],
)  # fmt: skip
def test_only_slowdowns_that_are_trouble_count(reasons: int, throttled: bool) -> None:
    (found,) = nvml_module.look(nvml(count=1, throttle=reasons))
    assert found.throttled is throttled


def test_a_node_without_driver_or_gpus_has_none() -> None:
    assert nvml_module.look(nvml(driver=False)) == ()
    assert nvml_module.look(nvml(count=0)) == ()


def test_without_the_package_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml_module.gpus() == ()
    assert nvml_module.holders((0,)) == ()


def test_processes_are_told_of_the_gpus_that_were_asked_for_and_can_tell() -> None:
    package = nvml(count=3, lost=(1,))
    found = nvml_module.look_for_holders(package, (1, 2))
    assert found == (Holder(2, 102, 7 << 30), Holder(2, 202, 0))
    assert package.open == 0


def test_processes_are_told_of_all_gpus_when_none_are_named() -> None:
    found = nvml_module.look_for_holders(nvml(count=2), None)
    assert [(one.gpu, one.pid) for one in found] == [(0, 100), (0, 200), (1, 101), (1, 201)]


def test_without_a_driver_no_process_is_told() -> None:
    assert nvml_module.look_for_holders(nvml(driver=False), (0,)) == ()


def test_a_driver_that_cannot_count_its_gpus_tells_no_process() -> None:
    package = nvml()

    def fail() -> int:
        raise Failure("unknown error")

    package.nvmlDeviceGetCount = fail
    assert nvml_module.look_for_holders(package, None) == ()
    assert package.open == 0


async def test_one_question_about_processes_serves_all_who_start_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def found() -> tuple[Holder, ...]:
        asked.append(1)
        return (Holder(0, 7, 5),)

    monkeypatch.setattr(nvml_module, "holders", found)
    meter = nvml_module.GpuReadings()
    for _ in range(2):
        assert await meter.holders(kept_s=1000.0) == (Holder(0, 7, 5),)
    assert asked == [1]
