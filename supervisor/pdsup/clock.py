"""The only clock. Durations and deadlines use ``monotonic``; timestamps for people use ``wall``."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds from an arbitrary start; never jumps, and stops while the machine is suspended."""
    return time.monotonic()


def wall() -> float:
    """Seconds since the epoch, for timestamps that leave this process."""
    return time.time()
