"""Holds the knobs of this process, changes them while it runs, and inflicts what is timed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable

from pdsup.mock import knobs as table
from pdsup.mock.knobs import NEVER, Knobs
from pdsup.mock.scheduler import Scheduler

log = logging.getLogger(__name__)

CUDA_OOM = """\
Scheduler hit an exception: Traceback (most recent call last):
  File "sglang/srt/managers/scheduler.py", line 2680, in run_scheduler_process
    scheduler = Scheduler(server_args, port_args, gpu_id, tp_rank, pp_rank, dp_rank)
  File "sglang/srt/model_executor/model_runner.py", line 412, in load_model
    self.model = get_model(model_config=self.model_config, load_config=self.load_config)
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. \
GPU 0 has a total capacity of 139.72 GiB of which 1.19 GiB is free."""
NCCL = """\
torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3356, unhandled system \
error (run with NCCL_DEBUG=INFO for details), NCCL version 2.27.3
ncclSystemError: System call (e.g. socket, malloc) or external library call failed."""
NO_MODEL = """\
OSError: /models/none is not a local folder and is not a valid model identifier listed on \
'https://huggingface.co/models'"""
NO_MODULE = """\
Scheduler hit an exception: Traceback (most recent call last):
  File "sglang/srt/layers/activation.py", line 41, in <module>
    from sgl_kernel import gelu_and_mul
ModuleNotFoundError: No module named 'sgl_kernel'"""
LOAD_FAULTS = {"cuda-oom": CUDA_OOM, "nccl": NCCL, "no-model": NO_MODEL, "no-module": NO_MODULE}


class Injector:
    """The one owner of the current knobs. Timed faults count from ``arm`` or from their change."""

    def __init__(self, knobs: Knobs, scheduler: Scheduler | None) -> None:
        self.knobs = knobs
        self._scheduler = scheduler
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._status_until = 0.0
        self._news = asyncio.Event()

    def arm(self, names: Iterable[str] = table.FIELDS) -> None:
        """Starts the clocks of the named knobs anew."""
        loop = asyncio.get_running_loop()
        for name in set(names) & TIMED.keys():
            if name in self._timers:
                self._timers.pop(name).cancel()
            seconds: float = getattr(self.knobs, name)
            if seconds != NEVER:
                self._timers[name] = loop.call_later(seconds, TIMED[name], self)
        if {"health_status", "health_status_seconds"} & set(names):
            self._status_until = loop.time() + self.knobs.health_status_seconds

    def change(self, wanted: object) -> None:
        """Takes a JSON object of changes, all or none; raises BadKnob."""
        self.knobs = table.change(self.knobs, wanted)
        if isinstance(wanted, dict):
            self.arm(wanted)
        self.spread_news()

    def spread_news(self) -> None:
        """Wakes everybody who waits for a change, of the knobs or of what hangs."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Returns after the next change."""
        await self._news.wait()

    def take_error(self) -> int | None:
        """The status the next generation must fail with, if one is due; counts it."""
        if self.knobs.error_requests == 0:
            return None
        self.change({"error_requests": self.knobs.error_requests - 1})
        return self.knobs.error_status

    def health_status(self) -> int | None:
        """What /health must say whatever the truth, while that fault lasts."""
        lasts = asyncio.get_running_loop().time() < self._status_until
        return self.knobs.health_status if self.knobs.health_status and lasts else None

    def die(self) -> None:
        """Ends this process at once as ``exit_code`` says."""
        log.error("Fault: dying with exit code %d", self.knobs.exit_code)
        end_process(self.knobs.exit_code)

    def freeze(self) -> None:
        """Stops this process as a debugger or a stuck driver would; SIGCONT thaws it."""
        log.error("Fault: frozen")
        os.kill(os.getpid(), signal.SIGSTOP)

    def kill_scheduler(self) -> None:
        """A hard crash of the child."""
        if self._scheduler:
            log.error("Fault: killing the scheduler %d", self._scheduler.pid)
            self._scheduler.kill()


TIMED: dict[str, Callable[[Injector], None]] = {
    "exit_after_seconds": Injector.die,
    "freeze_after_seconds": Injector.freeze,
    "scheduler_dies_after_seconds": Injector.kill_scheduler,
}


def end_process(code: int) -> None:
    """Leaves without any clean-up: by an exit code, or minus a signal."""
    if code < 0:
        os.kill(os.getpid(), -code)
    else:
        os._exit(code)
