"""Decides from the answers to probes whether a unit is ready and whether it hangs.

Both mistakes are expensive. A unit that hangs but counts as alive blocks requests for hours; a
healthy one that is killed costs a load of up to 40 minutes, and a busy engine easily looks hung: it
may take 20 s to answer, or fail to, while a long prefill runs. Hence three rules. An answer is yes,
no, or that the question could not be asked; the third is this node's problem and not the unit's, so
it changes nothing. One answer decides nothing: thresholds count equal answers in a row. And a unit
whose liveness probe keeps failing is dead only if it also makes no progress (its counters, or else
its output, stand still), unless the answer is final, as when one of its processes has died.

All times are monotonic seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from pdsup.plan.model import Probe
from pdsup.units.process.tree import Seen

# A process that only waits uses less than this share of a CPU; one that loads a model uses more.
LEAST_CPU = 0.1


@dataclass(frozen=True, slots=True)
class Yes:
    """The unit is as it should be."""

    def __str__(self) -> str:
        return "yes"


@dataclass(frozen=True, slots=True)
class No:
    """The unit is not as it should be. ``final``: it cannot recover, even if it makes progress.

    ``seen``: the kernel says so of its processes. No slow answer can be taken for that, so users
    see it at once; it restarts nothing sooner.
    """

    detail: str
    final: bool = False
    seen: bool = False

    def __str__(self) -> str:
        return f"no: {self.detail}"


@dataclass(frozen=True, slots=True)
class Unasked:
    """The question could not be asked, because this node lacks something."""

    detail: str

    def __str__(self) -> str:
        return f"not asked: {self.detail}"


Answer = Yes | No | Unasked


@dataclass(frozen=True, slots=True)
class Tally:
    """The count of answers to one probe. ``passing`` is None until there are enough.

    ``row``: how many equal answers came in a row, positive for yes, negative for no; ``since``:
    when the first of them came.
    """

    passing: bool | None = None
    row: int = 0
    since: float = 0.0


def step(probe: Probe, tally: Tally, answer: Answer, now: float) -> Tally:
    """Counts one more answer."""
    match answer:
        case Yes():
            row, since = max(tally.row, 0) + 1, tally.since if tally.row > 0 else now
            enough = row >= probe.successes and now - since >= probe.stable_s
            return Tally(True if enough else tally.passing, row, since)
        case No():
            row, since = min(tally.row, 0) - 1, tally.since if tally.row < 0 else now
            return Tally(False if -row >= probe.failures else tally.passing, row, since)
        case Unasked():
            return tally
    assert_never(answer)


def combined(answers: Iterable[Answer]) -> Answer:
    """Combines the answers of a probe's checks, consuming them only up to the first no."""
    unasked: Unasked | None = None
    for answer in answers:
        match answer:
            case No():
                return answer
            case Unasked():
                unasked = unasked or answer
            case Yes():
                pass
            case _:
                assert_never(answer)
    return unasked or Yes()


def is_dead(probe: Probe, tally: Tally, answer: Answer, moved: float, now: float) -> bool:
    """Whether a unit hangs for good; ``moved``: when it last made progress."""
    if tally.passing is not False or not isinstance(answer, No):
        return False
    return answer.final or now - moved >= (probe.quiet_s or 0.0)


def dies_at(probe: Probe, tally: Tally, answer: Answer, moved: float, now: float) -> float | None:
    """When a unit is found dead at the earliest if nothing changes; None while nothing is wrong.

    ``now``: when the answer came; the questions still to be asked may take longer than assumed.
    """
    if not isinstance(answer, No):
        return None
    left = max(0, probe.failures + tally.row) * probe.period_s
    return now + left if answer.final else max(now + left, moved + (probe.quiet_s or 0.0))


# -- progress ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs of a unit's work at one moment.

    ``counters``: the sum of its counters, None if they cannot be read. ``lines``: how many
    meaningful lines of output were seen so far. ``cpu_s``: CPU seconds of its processes.
    ``gpu_bytes``: the most memory that its processes had on its GPUs, None if not known.
    """

    at: float
    lines: int
    counters: float | None = None
    cpu_s: float = 0.0
    gpu_bytes: int | None = None


def works(before: Signs, after: Signs) -> bool:
    """Whether a unit that serves made progress: by its counters if there are any, else its output.

    CPU time does not count: an engine that hangs in a collective spins at 100 %.
    """
    if before.counters is not None and after.counters is not None:
        return before.counters != after.counters
    return after.lines > before.lines


def loads(before: Signs, after: Signs) -> bool:
    """Whether a unit that loads made progress: CPU time, GPU memory or output."""
    busy = after.cpu_s - before.cpu_s >= LEAST_CPU * (after.at - before.at) > 0
    fills = before.gpu_bytes is not None and (after.gpu_bytes or 0) > before.gpu_bytes
    return busy or fills or after.lines > before.lines


# -- when to ask ------------------------------------------------------------------------------


def pause(probe: Probe, chance: float) -> float:
    """Seconds from an answer to the next question; ``chance`` in [0, 1)."""
    return probe.period_s * (1 - probe.jitter * chance)


def first_pause(probe: Probe, chance: float) -> float:
    """Seconds before the first question, so that units that start together spread out."""
    return probe.period_s * (1 - probe.jitter / 2) * chance


def check_processes(known: Mapping[int, Seen], seen: Mapping[int, Seen | None]) -> Answer:
    """Compares the processes that a unit had, by pid, with what is seen now (None: it ended)."""
    for pid, before in known.items():
        process, name = seen.get(pid), before.name
        if process is None or process.state in "ZX" or process.started != before.started:
            return No(f"its process {pid} ({name}) has died", final=True, seen=True)
    for pid, process in seen.items():
        if process is not None and process.state in "Tt":
            return No(stopped(pid, process), seen=process.state == "T")
    return Yes()


def stopped(pid: int, process: Seen) -> str:
    """Says that a process is stopped, as by SIGSTOP or a debugger."""
    return f"its process {pid} ({process.name}) is stopped (state {process.state})"
