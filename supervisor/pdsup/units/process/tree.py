"""Decides which processes belong to a unit's run, from what /proc shows of them.

A unit is its whole process tree, and engines make that hard: workers double-fork, start sessions of
their own, clear their environment and outlive the main process. The agent is a child subreaper, so
whatever a unit leaves behind becomes a child of the agent: every child that the agent did not start
itself is such a leftover. Its run left up to three traces on it: a tag (a resource limit, inherited
whatever a process does, but not every system lets us set it), a mark (an environment variable,
which a process may clear) and its session (which ``setsid`` leaves). A matching tag is proof;
without it the mark decides, and where that cannot be read, the session. Among all processes of the
node there are strangers, to whom the kernel may have given the pid of a main process that ended:
there a session proves nothing, nor does a mark beside another tag. Pure.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

# A pid and the start time of its process (clock ticks since boot): unique until the next boot.
Identity = tuple[int, int]
# RLIMIT_LOCKS: it has limited nothing since Linux 2.4.25, but every descendant inherits it, even
# one that leaves the session, clears its environment or runs another program.
TAG_LIMIT = 10
# All tags are at least this: a smaller limit is one that an administrator has set.
LEAST_TAG = 1 << 20


@dataclass(frozen=True, slots=True)
class Trace:
    """The traces that a run leaves on its processes.

    ``tag``: a resource limit that every descendant inherits (``TAG_LIMIT``); None where it
    cannot be set. ``mark``: the value of an environment variable, which a process may clear or
    overwrite. ``session``: the pid of the main process, which led the session. ``anywhere``:
    another agent started the run, so its orphans need not be this agent's children.
    """

    mark: str
    session: int
    tag: int | None
    anywhere: bool = False


@dataclass(frozen=True, slots=True)
class Leftover:
    """A process that a run may have left behind, most often an orphan that the agent inherited.

    ``tag`` and ``mark`` are None where they cannot be read.
    """

    pid: int
    started: int
    session: int
    tag: int | None
    mark: str | None

    @property
    def identity(self) -> Identity:
        """Identifies this process, and no later one with the same pid."""
        return self.pid, self.started


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process tree uses: CPU seconds so far, those of reaped children included; resident
    bytes, in which shared memory counts once per process; and the number of processes.
    """

    cpu_s: float
    memory: int
    processes: int


@dataclass(frozen=True, slots=True)
class Row:
    """One process of a tree: ``depth`` below its root; ``memory`` is resident, in bytes."""

    pid: int
    depth: int
    name: str
    state: str
    cpu_s: float
    memory: int


def members_of_run(
    leftovers: Iterable[Leftover], trace: Trace, known: Container[Identity]
) -> list[Leftover]:
    """Selects the leftovers of the run with this trace, and those whose identity is in ``known``.

    ``known`` were recognised before: a process that is exiting no longer shows its environment, and
    exiting may take seconds.
    """
    return [p for p in leftovers if p.identity in known or _shows(p, trace)]


def _shows(process: Leftover, trace: Trace) -> bool:
    if process.tag is not None and process.tag == trace.tag:
        return True
    if trace.anywhere and process.tag is not None and trace.tag is not None:
        return False
    if process.mark is not None:
        return process.mark == trace.mark
    return process.session == trace.session and not trace.anywhere


# -- processes --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """A process: its name, which the kernel cuts to 15 bytes, and its state, a letter as in ps.

    ``started``: clock ticks since boot; a later process with the same pid has another value.
    """

    name: str
    state: str
    started: int


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a tree. ``threads``: for each thread, its state and where it waits."""

    pid: int
    parent: int
    name: str
    state: str
    command: str
    threads: tuple[str, ...]
    stack: str
