"""Reports what happens to the units of one node: in the journal, the agent's log, and to hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pdsup import clock
from pdsup.journal import entry, hook_events
from pdsup.journal.entry import Happening
from pdsup.journal.own_journal import OwnJournal
from pdsup.node.assignment import Place
from pdsup.plan.model import HookEvent
from pdsup.units import states
from pdsup.units.facts import Line, Transition

# How long to wait for a file system that hangs: at the start, and at the end, of an agent.
ANSWER_S, CLOSE_S = 2.0, 2.0
ALARMING = ("ReloadFailed", "GpusThrottled", "GpusLost", "NodeLost")

Notify = Callable[[HookEvent, str], None]


class Log(Protocol):
    """The part of a structlog logger that is used."""

    def info(self, event: str, **facts: object) -> None:
        """Something a user may want to know."""

    def warning(self, event: str, **facts: object) -> None:
        """Something a user should know."""


def _later(within: float, call: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(within, call)


class News:
    """Reports for all units of a node."""

    def __init__(self, place: Place, log: Log, notify: Notify, mode: int = 0o644) -> None:
        """``notify`` is called with each hook event, and its line of the journal. ``mode``: that
        of the journal.
        """
        self._node = place.node
        self._boot = clock.boot()
        self._log = log
        self._notify = notify
        self.own = OwnJournal(place, self._tell_of_journal, mode, _later)
        self._note: Callable[[Line], None] = lambda line: None
        self._log_problems: dict[str, str] = {}

    async def ended_at(self) -> float:
        """The moment of the last line that an earlier agent wrote, in monotonic seconds; minus
        infinity if there is none, or if the file system does not answer.
        """
        moment = await self.own.ended_at(ANSWER_S)
        return float("-inf") if moment is None else moment

    def resume(self, lines: Sequence[Line]) -> None:
        """Will add the lines that an earlier agent could not write before it was killed."""
        self.own.resume(lines)

    def begin(self) -> None:
        """Begins to write: what an earlier agent left comes first."""
        self.own.begin()

    def keep_in(self, note: Callable[[Line], None]) -> None:
        """Has each line that is not about a unit's step noted before it is written."""
        self._note = note

    async def close(self) -> None:
        """Returns when the journal is complete, or after ``CLOSE_S`` seconds."""
        await self.own.close(CLOSE_S)

    async def last_runs(self) -> Mapping[str, int]:
        """The highest number of a run of each unit in this node's journal; empty if there is none,
        or if the file system does not answer.
        """
        return await self.own.last_runs(ANSWER_S)

    def line(self, news: Transition | Happening) -> Line:
        """The line of the journal about what happens now."""
        return entry.line(news, self._node, clock.wall(), self._boot)

    def write(self, line: Line) -> None:
        """Writes a line to the journal, soon."""
        self.own.write(line)

    def tell(self, news: Happening) -> None:
        """Writes news to the journal and to the log; notifies hooks."""
        say = self._log.warning if news.event in ALARMING else self._log.info
        say("unit", unit=news.unit, what=news.event, reason=news.reason)
        line = self.line(news)
        self._note(line)
        self.write(line)
        self._tell_hooks(news, line)

    def tell_step(self, step: Transition, line: Line | None) -> None:
        """Writes a step to the log, if it changes the public state; notifies hooks of its line."""
        state = states.public(step.after)
        if state != states.public(step.before):
            say = self._log.warning if state.needs_attention else self._log.info
            say("unit", unit=step.unit, state=state, reason=states.reason_of(step.after))
            if line is not None:
                self._tell_hooks(step, line)

    def _tell_hooks(self, news: Transition | Happening, line: Line) -> None:
        event = hook_events.event(news)
        if event is not None:
            self._notify(event, line.text)

    def _tell_of_journal(self, problem: str) -> None:
        path = str(self.own.path)
        if problem:
            self._log.warning("cannot write the journal", path=path, cause=problem)
        else:
            self._log.info("the journal is written again", path=path)

    def tell_of_log(self, unit: str, problem: str) -> None:
        """Logs once what is wrong with the log of a unit; ``problem`` is "" if nothing is."""
        if problem and problem != self._log_problems.get(unit):
            self._log.warning("unit", unit=unit, problem=problem)
        self._log_problems[unit] = problem
