"""The one child process of a worker. It stands for SGLang's schedulers and detokenizer.

The child is forked before anything heavy is imported, and it only waits. It dies with its parent,
however the parent ends, and the parent learns of the child's death at once; ``mock/engine.py``
decides what follows.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15  # linux/prctl.h
NAME = b"sglang::schedul"  # the kernel keeps 15 bytes


class Scheduler:
    """A running child: ``watch`` it from the loop, ``kill`` it as a fault, ``end`` it for good."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def watch(self, loop: asyncio.AbstractEventLoop, on_death: Callable[[int], None]) -> None:
        """Calls ``on_death`` with the exit code (minus the signal number) once it has died."""

        def reap() -> None:
            loop.remove_reader(self._pidfd)
            _, status = os.waitpid(self.pid, 0)
            on_death(os.waitstatus_to_exitcode(status))

        loop.add_reader(self._pidfd, reap)

    def kill(self) -> None:
        """Kills the child like a hard crash; with a pidfd that is safe even after its death."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Kills and reaps it without telling anybody."""
        if loop.remove_reader(self._pidfd):
            self.kill()
            os.waitpid(self.pid, 0)


def start() -> Scheduler:
    """Forks the child. Call it before any thread and before the event loop."""
    libc = ctypes.CDLL(None)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _live(libc, parent)
    return Scheduler(pid)


def _live(libc: ctypes.CDLL, parent: int) -> None:
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_NAME, NAME, 0, 0, 0)
        while os.getppid() == parent:  # it may have died before prctl
            signal.pause()
    finally:
        os._exit(0)
