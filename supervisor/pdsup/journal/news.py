"""Reports what happens to the units of one node: in the journal, the agent's log, and to hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pdsup import clock
from pdsup.journal import entry, hook_events
from pdsup.journal.entry import Happening
from pdsup.journal.own_journal import OwnJournal
from pdsup.node.assignment import Place
from pdsup.plan.model import HookEvent
from pdsup.units import states
from pdsup.units.facts import Transition

# How long to wait for a file system that hangs: at the start, and at the end, of an agent.
ANSWER_S, CLOSE_S = 2.0, 2.0
ALARMING = ("ReloadFailed", "GpusThrottled", "GpusLost", "NodeLost")

Notify = Callable[[HookEvent, Mapping[str, Any]], None]


class Log(Protocol):
    """The part of a structlog logger that is used."""

    def info(self, event: str, **facts: object) -> None:
        """Something a user may want to know."""

    def warning(self, event: str, **facts: object) -> None:
        """Something a user should know."""


class News:
    """Reports for all units of a node."""

    def __init__(self, place: Place, log: Log, notify: Notify, mode: int = 0o644) -> None:
        """``notify`` is called with each hook event, and its entry in the journal. ``mode``: that
        of the journal.
        """
        self._node = place.node
        self._boot = clock.boot()
        self._log = log
        self._notify = notify
        self._journal = OwnJournal(place, self._tell_of_journal, mode)
        self._log_problems: dict[str, str] = {}

    async def ended_at(self) -> float:
        """The moment of the last line that an earlier agent wrote, in monotonic seconds; minus
        infinity if there is none, or if the file system does not answer.
        """
        moment = await self._journal.ended_at(ANSWER_S)
        return float("-inf") if moment is None else moment

    def complete(self, step: Transition) -> None:
        """Adds a step that an earlier agent reported and could not write before it was killed."""
        self._write(step, late=True)

    async def close(self) -> None:
        """Returns when the journal is complete, or after ``CLOSE_S`` seconds."""
        await self._journal.close(CLOSE_S)

    async def last_runs(self) -> Mapping[str, int]:
        """The highest number of a run of each unit in this node's journal; empty if there is none,
        or if the file system does not answer.
        """
        return await self._journal.last_runs(ANSWER_S)

    def tell(self, news: Transition | Happening, *, late: bool = False) -> None:
        """Writes news to the journal, and to the log unless it is a step that does not change the
        public state; notifies hooks. ``late``: it happened before this agent was started, and hooks
        were notified then: an agent does so in the moment in which it notes a step.
        """
        match news:
            case Happening(unit=unit, event=what, reason=reason):
                say = self._log.warning if what in ALARMING else self._log.info
                say("unit", unit=unit, what=what, reason=reason)
            case Transition(unit=unit, before=before, after=after):
                state = states.public(after)
                if state != states.public(before):
                    say = self._log.warning if state.needs_attention else self._log.info
                    say("unit", unit=unit, state=state, reason=states.reason_of(after))
        wall = self._write(news, late=late)
        if not late and (event := hook_events.event(news)) is not None:
            self._notify(event, entry.as_json(news, self._node, wall, self._boot))

    def _write(self, news: Transition | Happening, *, late: bool) -> float:
        """Writes news to the journal; returns when they happened, in seconds since the epoch."""
        wall = clock.wall()
        if late and isinstance(news, Transition):
            wall -= clock.monotonic() - news.context.now
        self._journal.write(news, wall, late=late)
        return wall

    def _tell_of_journal(self, problem: str) -> None:
        path = str(self._journal.path)
        if problem:
            self._log.warning("cannot write the journal", path=path, cause=problem)
        else:
            self._log.info("the journal is written again", path=path)

    def tell_of_log(self, unit: str, problem: str) -> None:
        """Logs once what is wrong with the log of a unit; ``problem`` is "" if nothing is."""
        if problem and problem != self._log_problems.get(unit):
            self._log.warning("unit", unit=unit, problem=problem)
        self._log_problems[unit] = problem
