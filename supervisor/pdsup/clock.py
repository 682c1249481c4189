"""The only clock. Durations and deadlines use ``monotonic``; timestamps for people use ``wall``."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path


def monotonic() -> float:
    """Seconds from an arbitrary start; never jumps, and stops while the machine is suspended."""
    return time.monotonic()


def wall() -> float:
    """Seconds since the epoch, for timestamps that leave this process."""
    return time.time()


def boot() -> str:
    """Identifies the boot of this machine: pids and monotonic times mean nothing after another."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
