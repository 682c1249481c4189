"""What is known of a GPU at one moment, and of who has memory on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. ``up``: the driver can tell about it; without, nothing else is known. What it has no
    sensor for is None.
    """

    index: int
    up: bool
    memory_used: int | None = None
    memory: int | None = None
    utilization: float | None = None  # 0 to 1, of the last moment
    celsius: int | None = None
    watts: float | None = None
    throttled: bool | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Which GPUs of one unit are slowed down, and which are lost."""

    throttled: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has memory, in bytes, on one GPU."""

    gpu: int
    pid: int
    memory: int
