"""Waits until a cluster is up or down, and shows meanwhile what is missing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Literal

from pdsup import clock
from pdsup.answers.status import Status, UnitStatus
from pdsup.cli import client, options
from pdsup.cli.runs.named import given
from pdsup.cli.screens import progress
from pdsup.cli.screens.waiting import WaitView
from pdsup.errors import NothingThere, SupervisorError
from pdsup.journal import load_times
from pdsup.journal.entry import Entry
from pdsup.journal.file import Journals
from pdsup.times import duration
from pdsup.units.public_state import PublicState

Goal = Literal["running", "stopped"]

MOST_LINES = 8
# How long to wait for a first agent if the user has not said: agents that are starting are there by
# then, even if an image is pulled first.
NEVER_S = 600.0
# How often to look whether a run without agents has ended.
PAST_S = 1.0


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


def _hopeless(lost: Sequence[UnitStatus]) -> str:
    """Says which units, down for good, keep the cluster from becoming ready."""
    first, *rest = lost
    more = f" and {len(rest)} more are" if rest else " is"
    states = "/".join(dict.fromkeys(unit.state for unit in lost))
    stopped = [unit.name for unit in lost if unit.state is PublicState.STOPPED]
    they = "it" if len(stopped) == 1 else "them"
    start = f"; pdsup start {' '.join(stopped)} starts {they}" if stopped else ""
    return f"{first.name}{more} {states}, so the cluster can't become ready{start}"


def _stays_down(unit: UnitStatus) -> bool:
    """Whether only a start by hand brings a unit up. One that has not run may just be about to."""
    last = unit.last_command
    ran = unit.last_exit is not None or (last is not None and last.verb == "stop")
    return unit.is_lost or (unit.state is PublicState.STOPPED and ran)


class Wait:
    """A wait for a goal. ``view`` shows its progress.

    ``trouble`` returns why the goal can't be reached, if the caller knows better than the agents.
    ``missing`` holds lines about what is missing, ``lost`` a sentence on why that is hopeless.
    ``purpose``: ``VERB THING``, for messages.
    """

    def __init__(
        self,
        run_dir: str | None,
        patterns: Sequence[str],
        goal: Goal,
        view: WaitView,
        trouble: Callable[[], str | None] = lambda: None,
        purpose: str = "wait",
    ) -> None:
        self._run_dir = run_dir
        self._purpose = purpose
        self._patterns = patterns
        self._goal = goal
        self._view = view
        self._trouble = trouble
        self._reached = reaches(goal)
        self.missing: list[str] = ["no agent answers yet"]
        self.lost = ""
        self._seen = False
        self._asked_past = float("-inf")
        self._past: tuple[Journals, list[Entry]] | None = None
        self._ran_in = Path()
        self._earlier: dict[str, float] | None = None
        self._timeout: float | None = None
        self.status: Status | None = None

    def watch(self, timeout: float | None) -> Outcome:
        """Returns when the goal is reached, can no longer be, or after ``timeout`` seconds; if
        there is no timeout and never an agent, after ``NEVER_S``.

        Raises NothingThere if what was named is no run directory.
        """
        self._timeout = timeout
        began = clock.monotonic()
        until = float("inf") if timeout is None else began + timeout
        for look in client.follow(self._agent, every=True, until=until):
            outcome = self._without_agent(look.absent) if look.absent else self._judge(look.status)
            if outcome is not None:
                return outcome
            if timeout is None and not self._seen and clock.monotonic() - began > NEVER_S:
                self.missing = [f"no agent has answered within {duration(NEVER_S)}"]
                return Outcome.TIMED_OUT
            if trouble := self._trouble():
                self.lost, self.missing = trouble, [trouble]
                return Outcome.LOST
            if clock.monotonic() < until:  # at the end ``why`` says what is missing
                self._view.show(self.status.units if self.status else (), self.missing)
        return Outcome.TIMED_OUT

    def look_again(self) -> None:
        """Takes in the status as of now, for the end: that of the last look may be older."""
        with contextlib.suppress(SupervisorError):
            now = client.status(client.cluster(self._run_dir, self._purpose), every=True)
            self.status, _ = progress.chosen(now, self._patterns)

    @property
    def culprit(self) -> str:
        """The unit that most likely holds up the others; "" if none is known."""
        units = self.status.units if self.status else ()
        late = sorted((unit for unit in units if not self._reached(unit)), key=progress.rank)
        return late[0].name if late else ""

    def why(self, outcome: Outcome) -> str:
        """The cause of an outcome other than REACHED, with what is missing."""
        goal = "ready" if self._goal == "running" else "stopped"
        late = "in time" if self._timeout is None else f"within {duration(self._timeout)}"
        is_late = outcome is Outcome.TIMED_OUT
        head = f"not {goal} {late}" if is_late else self.lost or f"it can no longer become {goal}"
        return "\n".join((head, *(f"  {line}" for line in self.missing if line != head)))

    def _agent(self) -> Path:
        cluster = client.cluster(self._run_dir, self._purpose)
        if self._past is None:
            self._ran_in = Path(cluster.run_dir)
            self._past = Journals(self._ran_in), []
        return client.first_agent(cluster)

    def _without_agent(self, absent: NothingThere) -> Outcome | None:
        if self._seen and self._goal == "running":
            self.lost = "its agents no longer answer: the cluster was stopped meanwhile"
            self.missing = [self.lost]
            return Outcome.LOST
        ended = "" if self._seen else self._why_ended(absent)
        if self._goal == "stopped":
            return Outcome.REACHED
        if ended:
            self.lost, self.missing = ended, [ended]
            return Outcome.LOST
        return None

    def _why_ended(self, absent: NothingThere) -> str:
        """Why no agent of the run that was named will answer, as far as that is known; else "".

        In a Slurm job its agents may be starting: in a directory that is made for them, or that of
        the job before it was requeued. Raises ``absent`` if what was named is no run directory.
        """
        now, named = clock.monotonic(), given(self._run_dir)
        if named is None or "SLURM_JOB_ID" in os.environ or now - self._asked_past < PAST_S:
            return ""
        self._asked_past = now
        from pdsup.node.run_dir import DIRECTORIES  # late: imports a YAML parser

        if not any((named.path / name).is_dir() for name in DIRECTORIES):
            raise absent
        from pdsup.cli.runs import past, past_rules  # late: reads journals
        from pdsup.cli.runs.run_lines import RunState

        found = past.past_of(named.path.resolve(), str(named))
        over = found.state is RunState.ENDED and found.last is not None
        return past_rules.why(found, clock.wall()) if over else ""

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
        lost = [unit for unit in units if self._goal == "running" and _stays_down(unit)]
        if lost:
            self.missing = self._what_is_missing(lost)
            self.lost = _hopeless(lost)
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
