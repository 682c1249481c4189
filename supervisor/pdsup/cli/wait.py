"""Waits until a cluster is up or down, and shows meanwhile what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Literal

from pdsup import clock
from pdsup.answers.status import Status, UnitStatus
from pdsup.cli import client, options
from pdsup.cli.screens import progress
from pdsup.cli.screens.waiting import WaitView
from pdsup.errors import NothingThere
from pdsup.journal import load_times
from pdsup.journal.entry import Entry
from pdsup.journal.file import Journals
from pdsup.times import duration
from pdsup.units.public_state import PublicState

Goal = Literal["running", "stopped"]

MOST_LINES = 8


class Outcome(Enum):
    """How a wait ended; the values are exit statuses."""

    REACHED = 0
    LOST = 1
    TIMED_OUT = options.TIMED_OUT


def reaches(goal: Goal) -> Callable[[UnitStatus], bool]:
    """The test whether a unit has reached the goal."""
    return progress.is_up if goal == "running" else _is_down


def _is_down(unit: UnitStatus) -> bool:
    return unit.state.is_settled


class Wait:
    """A wait for a goal. ``view`` shows its progress.

    ``trouble`` returns why the goal can't be reached, if the caller knows better than the agents.
    ``missing`` holds lines about what is missing.
    """

    def __init__(
        self,
        run_dir: str | None,
        patterns: Sequence[str],
        goal: Goal,
        view: WaitView,
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._run_dir = run_dir
        self._patterns = patterns
        self._goal = goal
        self._view = view
        self._trouble = trouble
        self._reached = reaches(goal)
        self.missing: list[str] = ["no agent answers yet"]
        self._seen = False
        self._past: tuple[Journals, list[Entry]] | None = None
        self._ran_in = Path()
        self._earlier: dict[str, float] | None = None
        self._timeout: float | None = None
        self.status: Status | None = None

    def watch(self, timeout: float | None) -> Outcome:
        """Returns when the goal is reached, can no longer be, or after ``timeout`` seconds."""
        self._timeout = timeout
        until = float("inf") if timeout is None else clock.monotonic() + timeout
        for look in client.follow(self._agent, every=True, until=until):
            outcome = self._without_agent() if look.absent else self._judge(look.status)
            if outcome is not None:
                return outcome
            if trouble := self._trouble():
                self.missing = [trouble]
                return Outcome.LOST
            if clock.monotonic() < until:  # at the end ``why`` says what is missing
                self._view.show(self.status.units if self.status else (), self.missing)
        return Outcome.TIMED_OUT

    def why(self, outcome: Outcome) -> str:
        """The cause of an outcome other than REACHED, with what is missing."""
        goal = "ready" if self._goal == "running" else "stopped"
        late = "in time" if self._timeout is None else f"within {duration(self._timeout)}"
        is_late = outcome is Outcome.TIMED_OUT
        head = f"not {goal} {late}" if is_late else f"it can no longer become {goal}"
        return "\n".join((head, *(f"  {line}" for line in self.missing)))

    def _agent(self) -> Path:
        cluster = client.cluster(self._run_dir)
        if self._past is None:
            self._ran_in = Path(cluster.run_dir)
            self._past = Journals(self._ran_in), []
        return client.first_agent(cluster)

    def _without_agent(self) -> Outcome | None:
        if self._goal == "stopped":
            return Outcome.REACHED
        if self._seen:
            self.missing = ["its agents no longer answer: the cluster was stopped meanwhile"]
            return Outcome.LOST
        return None

    def _judge(self, status: Status | None) -> Outcome | None:
        if status is None:
            return None
        self.status, unnamed = progress.chosen(status, self._patterns)
        if unnamed:
            raise NothingThere(progress.no_such("wait for", unnamed, status))
        self._seen = True
        units = self.status.units
        self.missing = self._what_is_missing(units)
        if not self.missing:
            return Outcome.REACHED
        lost = [unit for unit in units if self._goal == "running" and unit.is_lost]
        if lost:
            self.missing = self._what_is_missing(lost)
            return Outcome.LOST
        return None

    def _what_is_missing(self, units: Sequence[UnitStatus]) -> list[str]:
        usual = self._usual(units) if self._goal == "running" else {}
        return progress.missing(units, self._reached, clock.wall(), MOST_LINES, usual)

    def _usual(self, units: Sequence[UnitStatus]) -> dict[str, float]:
        """Seconds that units of each kind usually take to become ready.

        They come from this run's journals, and for kinds that were not ready yet from those of
        earlier runs of the same plan.
        """
        if not any(unit.state is PublicState.STARTING for unit in units):
            return {}
        if self._past is None or self.status is None:
            return {}
        kinds = {unit.name: progress.alike(unit) for unit in units}
        if self._earlier is None:
            name = self.status.cluster
            self._earlier = load_times.usual_load(self._ran_in, name, kinds)
        journals, entries = self._past
        entries += journals.news()
        return {**self._earlier, **load_times.median_load(entries, kinds)}
