"""What is known about a GPU at one moment, and about the processes with memory on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, memory in bytes. ``up``: the driver can read it; if not, nothing else is known. A
    value for which it has no sensor is None.
    """

    index: int
    up: bool
    memory_used: int | None = None
    memory: int | None = None
    utilization: float | None = None  # 0 to 1, at the last sample
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
    """A process with ``memory`` bytes on one GPU."""

    gpu: int
    pid: int
    memory: int
