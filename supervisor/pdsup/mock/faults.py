"""The faults of this process: holds its knobs, changes them while it runs, injects timed faults.

The timed faults are here: ``Faults.freeze`` stops the process with SIGSTOP, ``Faults.die`` ends it
and ``Faults.kill_scheduler`` kills its scheduler, the child. Faults that only change an answer or
a delay are knobs that ``mock/engine.py`` and ``mock/server.py`` read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable

from pdsup.mock import knobs as table
from pdsup.mock.child import Scheduler
from pdsup.mock.knobs import NEVER, Knobs

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


class Faults:
    """Owns the current knobs. The clock of a timed fault starts at ``arm``, or when it changes."""

    def __init__(self, knobs: Knobs, scheduler: Scheduler | None) -> None:
        self.knobs = knobs
        self._scheduler = scheduler
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._status_until = 0.0
        self._changed = asyncio.Event()

    def arm(self, names: Iterable[str] = table.FIELDS) -> None:
        """Restarts the clocks of the named knobs."""
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
        """Applies a JSON object of changes, all or none; raises BadKnob."""
        self.knobs = table.change(self.knobs, wanted)
        if isinstance(wanted, dict):
            self.arm(wanted)
        self.notify_change()

    def notify_change(self) -> None:
        """Wakes every task in ``wait_for_change``."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self) -> None:
        """Waits for the next change."""
        await self._changed.wait()

    def take_error(self) -> int | None:
        """The status code that this generation must fail with, if any; counts the failure."""
        if self.knobs.error_requests == 0:
            return None
        self.change({"error_requests": self.knobs.error_requests - 1})
        return self.knobs.error_status

    def health_status(self) -> int | None:
        """The status code that overrides /health while that fault lasts, or None."""
        lasts = asyncio.get_running_loop().time() < self._status_until
        return self.knobs.health_status if self.knobs.health_status and lasts else None

    def die(self) -> None:
        """Ends this process at once, by the exit code or signal in ``exit_code``."""
        log.error("Fault: dying with exit code %d", self.knobs.exit_code)
        end_process(self.knobs.exit_code)

    def freeze(self) -> None:
        """Freezes this process with SIGSTOP, like a debugger or a stuck driver, until SIGCONT."""
        log.error("Fault: frozen")
        os.kill(os.getpid(), signal.SIGSTOP)

    def kill_scheduler(self) -> None:
        """Kills the child, like a hard crash of SGLang's scheduler."""
        if self._scheduler:
            log.error("Fault: killing the scheduler %d", self._scheduler.pid)
            self._scheduler.kill()


TIMED: dict[str, Callable[[Faults], None]] = {
    "exit_after_seconds": Faults.die,
    "freeze_after_seconds": Faults.freeze,
    "scheduler_dies_after_seconds": Faults.kill_scheduler,
}


def end_process(code: int) -> None:
    """Ends this process without clean-up; ``code`` is an exit code, or minus a signal number."""
    if code < 0:
        os.kill(os.getpid(), -code)
    else:
        os._exit(code)
