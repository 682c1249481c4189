"""Signs of life: of a real process, and of GPUs by a stand-in for the driver."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pdsup.plan.model import Probes
from pdsup.units.probes.check import Subject
from pdsup.units.probes.progress import ProgressSigns
from pdsup.units.process.gpu import Holder
from pdsup.units.process.nvml import GpuReadings

pytestmark = pytest.mark.processes

# A process with a child of its own; it tells the child's pid.
FAMILY = (
    "import subprocess as s, sys; c = s.Popen(['sleep', '1000']); print(c.pid, flush=True);"
    "sys.stdin.read(); c.kill(); c.wait()"
)


class Meter(GpuReadings):
    """Tells the holders it was given last; None: the driver does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.found: tuple[Holder, ...] | None = ()
        self.asked = 0

    async def holders(self, *, kept_s: float = 0.0) -> tuple[Holder, ...] | None:
        self.asked += 1
        return self.found


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """The pids of a process and of its child."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", FAMILY],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process.pid, child
        process.communicate()


def progress(pid: int, meter: GpuReadings, *gpus: int) -> ProgressSigns:
    subject = Subject(
        probes=Probes(), address="", ports={}, pid=pid, env={}, log_path="/nowhere", log_start=0,
        gpus=gpus,
    )  # fmt: skip
    return ProgressSigns(subject, meter)


async def test_only_memory_of_its_own_processes_on_its_own_gpus_counts(
    family: tuple[int, int],
) -> None:
    main, child = family
    meter = Meter()
    seen = progress(main, meter, 0, 1)
    meter.found = (Holder(0, os.getpid(), 1), Holder(2, main, 2))
    assert (await seen.at_load()).gpu_bytes == 0
    meter.found = (Holder(0, main, 10), Holder(0, child, 20), Holder(1, child, 40))
    assert (await seen.at_load()).gpu_bytes == 70


async def test_memory_is_the_most_so_far_and_unknown_before_the_driver_has_answered(
    family: tuple[int, int],
) -> None:
    main, _ = family
    meter = Meter()
    seen, told = progress(main, meter, 0), []
    for found in (None, (Holder(0, main, 5),), (), None, (Holder(0, main, 4),)):
        meter.found = found
        told.append((await seen.at_load()).gpu_bytes)
    assert told == [None, 5, 5, 5, 5]


async def test_the_driver_is_asked_only_about_a_unit_that_loads_and_has_gpus(
    family: tuple[int, int],
) -> None:
    main, _ = family
    meter = Meter()
    without = progress(main, meter)
    assert (await without.at_load()).gpu_bytes is None
    assert (await progress(main, meter, 0).at_work()).gpu_bytes is None
    assert meter.asked == 0
    await progress(main, meter, 0).at_load()
    assert meter.asked == 1
