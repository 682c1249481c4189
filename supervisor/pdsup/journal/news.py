"""Reports what happens to the units of one node: in the journal, the agent's log, and to hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pdsup import clock
from pdsup.journal import entry, hook_events
from pdsup.journal.entry import Happening
from pdsup.journal.file import Journal
from pdsup.node.assignment import Place
from pdsup.plan.model import HookEvent
from pdsup.units import states
from pdsup.units.facts import Transition

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

    def __init__(self, place: Place, log: Log, notify: Notify) -> None:
        """``notify`` is called with each hook event, and its entry in the journal."""
        self._node = place.node
        self._log = log
        self._notify = notify
        self._file = Journal(place)
        self._log_problems: dict[str, str] = {}

    def lacks(self, step: Transition) -> bool:
        """Whether a step, the last that an earlier agent noted, is missing in the journal because
        the agent was killed before it could write it.
        """
        return not self._file.has(step)

    def tell(self, news: Transition | Happening, *, late: bool = False) -> None:
        """Writes news to the journal, and to the log unless it is a step that does not change the
        public state; notifies hooks. ``late``: it happened before this agent was started.
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
        wall = clock.wall()
        if late and isinstance(news, Transition):
            wall -= clock.monotonic() - news.context.now
        if (problem := self._file.write(news, wall)) is not None:
            path = str(self._file.path)
            self._log.warning("cannot write the journal", path=path, cause=problem)
        if (event := hook_events.event(news)) is not None:
            self._notify(event, entry.as_json(news, self._node, wall))

    def tell_of_log(self, unit: str, problem: str) -> None:
        """Logs once what is wrong with the log of a unit; ``problem`` is "" if nothing is."""
        if problem and problem != self._log_problems.get(unit):
            self._log.warning("unit", unit=unit, problem=problem)
        self._log_problems[unit] = problem
