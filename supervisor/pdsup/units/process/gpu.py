"""What is known of a GPU at one moment, and of a unit's use of its GPUs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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


@dataclass(frozen=True, slots=True)
class Use:
    """What is in use of several GPUs together, whoever uses it.

    Memory in bytes; ``utilization``, 0 to 1: the mean of those that can tell.
    """

    memory_used: int
    memory: int
    utilization: float | None


def use(gpus: Iterable[Gpu], indexes: Collection[int]) -> Use | None:
    """Of those with these indexes that are up; None when there is none."""
    up = [gpu for gpu in gpus if gpu.up and gpu.index in indexes]
    if not up:
        return None
    told = [gpu.utilization for gpu in up if gpu.utilization is not None]
    return Use(
        memory_used=sum(gpu.memory_used or 0 for gpu in up),
        memory=sum(gpu.memory or 0 for gpu in up),
        utilization=round(sum(told) / len(told), 3) if told else None,
    )
