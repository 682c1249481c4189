"""Which processes belong to a unit's run, from what can be seen of them.

The agent is a child subreaper, so whatever a unit leaves behind becomes a child of the agent.
A child of the agent that the agent did not start itself is such a leftover; what the run left on
it tells whose. Pure.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

# A pid and the start time of its process (clock ticks since boot): never used twice.
Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Trace:
    """What a run leaves on its processes.

    ``tag``: a resource limit that is passed on whatever a process does (``spawner.TAG_LIMIT``);
    None where it can't be set. ``mark``: the value of a variable in the environment, which a
    process may clear or overwrite. ``session``: the pid of the main process, which led it.
    ``anywhere``: its orphans need not be the agent's children, since another agent started it.
    """

    mark: str
    session: int
    tag: int | None
    anywhere: bool = False


@dataclass(frozen=True, slots=True)
class Leftover:
    """A process that may be left of a run: most often an orphan that is the agent's child now.

    ``tag`` and ``mark`` are None when not readable.
    """

    pid: int
    started: int
    session: int
    tag: int | None
    mark: str | None

    @property
    def identity(self) -> Identity:
        """Names this process and no later one."""
        return self.pid, self.started


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree of processes uses: CPU seconds so far, with those of children that it waited for;
    resident bytes, in which memory that processes share counts for each; how many they are.
    """

    cpu_s: float
    memory: int
    processes: int


def of_run(
    leftovers: Iterable[Leftover], trace: Trace, known: Container[Identity]
) -> list[Leftover]:
    """Those of the run that left ``trace``; ``known`` are of it whatever they show by now.

    A process that is ending shows no environment any more, and that may take seconds.
    """
    return [p for p in leftovers if p.identity in known or _shows(p, trace)]


def _shows(process: Leftover, trace: Trace) -> bool:
    if process.tag is not None and process.tag == trace.tag:
        return True
    if process.mark is not None:
        return process.mark == trace.mark
    return process.session == trace.session


# -- processes --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """A process: its name as the kernel cuts it (15 bytes), and its state, a letter of ps.

    ``started``: in clock ticks since boot, which tells it from a later one with the same pid.
    """

    name: str
    state: str
    started: int


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a tree. ``threads``: for each of its threads, its state and where it waits."""

    pid: int
    parent: int
    name: str
    state: str
    command: str
    threads: tuple[str, ...]
    stack: str
