"""The one clock. Durations and deadlines use ``monotonic``; stamps for people use ``wall``."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds from an arbitrary start; never steps, and stands while the machine is suspended."""
    return time.monotonic()


def wall() -> float:
    """Seconds since the epoch, for stamps that leave this process."""
    return time.time()
