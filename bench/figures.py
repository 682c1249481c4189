"""The figures: what is measured, the goals of pdsup, and how samples are summarized. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Samples = Mapping[str, Sequence[float]]


def p99(samples: Sequence[float]) -> float:
    """The 99th percentile; of few samples, the largest."""
    ordered = sorted(samples)
    return ordered[-1 - len(ordered) // 100]


@dataclass(frozen=True)
class Figure:
    """One row of the table, from the samples ``of``. ``goal``: at most, or with ``least`` at least.

    ``scale`` turns what was sampled (seconds, bytes) into ``unit``; ``take`` makes one value of
    many. ``{few}`` and ``{many}`` in the title are numbers of units.
    """

    title: str
    of: str
    unit: str
    scale: float
    goal: float | None = None
    least: bool = False
    take: Callable[[Sequence[float]], float] = statistics.median

    def value(self, samples: Samples) -> float | None:
        """The summary of the samples, in ``unit``; None without samples."""
        found = samples.get(self.of)
        return self.take(found) * self.scale if found else None

    def reached(self, value: float) -> bool | None:
        """Whether ``value`` reaches the goal, if there is one."""
        if self.goal is None:
            return None
        return value >= self.goal if self.least else value <= self.goal


MS, MB, MIB = 1e3, 1e-6, 2.0**-20
FIGURES = (
    Figure("crash to the replacement's exec, median", "crash", "ms", MS, 2.0),
    Figure("crash to the replacement's exec, 99th percentile", "crash", "ms", MS, 10.0, take=p99),
    Figure("{few} killed at once to the last exec", "storm", "ms", MS, 70.0),
    Figure("start of {few} units to the last exec", "start few", "ms", MS, 300.0),
    Figure("start of {many} units to the last exec", "start many", "ms", MS, 450.0),
    Figure("stop of {few} units: all of them gone", "stop units", "ms", MS, 15.0),
    Figure("stop of {few} units: the supervisor gone", "stop all", "ms", MS, 80.0),
    Figure("CPU with {few} idle units", "idle", "ms/s", MS, 0.1),
    Figure("CPU with {few} units probed by HTTP every second", "asking", "ms/s", MS, 30.0),
    Figure("memory of the supervisor (largest process, RSS)", "memory", "MiB", MIB, 45.0),
    Figure("memory of its parent (RSS)", "parent memory", "MiB", MIB, 10.0),
    Figure("memory of all its processes (PSS)", "all memory", "MiB", MIB),
    Figure("status command, {few} units", "status", "ms", MS, 50.0),
    Figure("the same, pdsup's on 10 nodes", "status of all", "ms", MS, 50.0),
    Figure("the same with --json", "status json", "ms", MS, 50.0),
    Figure("--help of the command", "help", "ms", MS, 40.0),
    Figure("status of {few} units by its API", "api", "ms", MS, 0.5),
    Figure("log through a pipe", "piped rate", "MB/s", MB, 700.0, least=True),
    Figure("CPU for a GiB of log through a pipe", "piped cpu", "s", 1.0, 1.0),
    Figure("bytes of that log lost", "piped loss", "", 1.0, 0.0),
    Figure("log straight to a file", "direct rate", "MB/s", MB),
    Figure("CPU for a GiB of log straight to a file", "direct cpu", "s", 1.0, 0.01),
)
