"""What answers to a probe add up to: whether a unit is ready, and whether it is dead.

A question has three answers: yes, no, and that it could not be asked. The third says something of
this agent and nothing of the unit, so it changes nothing. All times are monotonic seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

from pdsup.plan.model import Probe
from pdsup.units.process.tree import Seen

# A process that only waits uses less than this part of a CPU; one that loads uses more.
LEAST_CPU = 0.1


@dataclass(frozen=True, slots=True)
class Yes:
    """As it should be."""

    def __str__(self) -> str:
        return "yes"


@dataclass(frozen=True, slots=True)
class No:
    """Not as it should be. ``final``: whatever else moves, this does not mend itself."""

    detail: str
    final: bool = False

    def __str__(self) -> str:
        return f"no: {self.detail}"


@dataclass(frozen=True, slots=True)
class Unasked:
    """The question could not be put: this node lacks something for it."""

    detail: str

    def __str__(self) -> str:
        return f"not asked: {self.detail}"


Answer = Yes | No | Unasked


@dataclass(frozen=True, slots=True)
class Tally:
    """What the answers to one probe add up to; ``passing`` is None before enough of them.

    ``row``: how many equal answers came last, yes above 0 and no below; ``since``: the first.
    """

    passing: bool | None = None
    row: int = 0
    since: float = 0.0


def step(probe: Probe, tally: Tally, answer: Answer, now: float) -> Tally:
    """The tally after one more answer."""
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


def together(answers: Iterable[Answer]) -> Answer:
    """The answer of a probe from those of its checks, which are asked only as far as needed."""
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
    """Whether a unit will not serve again by itself; ``moved``: when something last moved."""
    if tally.passing is not False or not isinstance(answer, No):
        return False
    return answer.final or now - moved >= (probe.quiet_s or 0.0)


# -- what moves -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signs:
    """What could be seen of a unit's work at one moment.

    ``counters``: the sum of its counters, None when they can't be read. ``lines``: how many lines
    of output that mean something were seen so far. ``cpu_s``: CPU time of its processes.
    ``gpu_bytes``: the most memory its processes had on its GPUs, None when that can't be known.
    """

    at: float
    lines: int
    counters: float | None = None
    cpu_s: float = 0.0
    gpu_bytes: int | None = None


def works(before: Signs, after: Signs) -> bool:
    """Whether a unit that serves got on. Counters, where there are any, are the better witness.

    Not its CPU time: an engine that hangs in a collective uses all it can get.
    """
    if before.counters is not None and after.counters is not None:
        return before.counters != after.counters
    return after.lines > before.lines


def loads(before: Signs, after: Signs) -> bool:
    """Whether a unit that starts got on."""
    busy = after.cpu_s - before.cpu_s >= LEAST_CPU * (after.at - before.at) > 0
    fills = before.gpu_bytes is not None and (after.gpu_bytes or 0) > before.gpu_bytes
    return busy or fills or after.lines > before.lines


# -- when to ask ------------------------------------------------------------------------------


def pause(probe: Probe, chance: float) -> float:
    """Seconds between an answer and the next question; ``chance`` in [0, 1)."""
    return probe.period_s * (1 - probe.jitter * chance)


def first_pause(probe: Probe, chance: float) -> float:
    """Seconds before the first: units that became ready together do not stay in step."""
    return probe.period_s * (1 - probe.jitter / 2) * chance


def of_processes(known: Mapping[int, Seen], seen: Mapping[int, Seen | None]) -> Answer:
    """About the processes that a unit had, by pid, from what is seen now. None: it has ended."""
    for pid, before in known.items():
        process, name = seen.get(pid), before.name
        if process is None or process.state in "ZX" or process.started != before.started:
            return No(f"its process {pid} ({name}) has died", final=True)
    for pid, process in seen.items():
        if process is not None and process.state in "Tt":
            return No(f"its process {pid} ({process.name}) is stopped (state {process.state})")
    return Yes()
