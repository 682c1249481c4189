"""Watches a cluster until it is up or down, and says on the way what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from supervisor import clock
from supervisor.cli import client, progress
from supervisor.errors import NothingThere

Goal = Literal["running", "stopped"]

POLL_S = 1.0
# While no agent answers there is nobody to wait with, so it is looked for this often.
LOOK_S = 0.1
# How often a wait in which nothing changes says that it still waits.
REMIND_S = 30.0
MOST_LINES = 8


class Outcome(Enum):
    """How a wait ended; the values are exit statuses."""

    REACHED = 0
    LOST = 1
    TIMED_OUT = 124


class Watcher:
    """One wait. ``say`` gets a line whenever something changed on the way to the goal.

    ``trouble`` tells why the goal can't be reached, when the caller knows better than the agents.
    """

    def __init__(
        self,
        run_dir: str | None,
        patterns: Sequence[str],
        goal: Goal,
        say: Callable[[str], None],
        trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._run_dir = run_dir
        self._patterns = patterns
        self._goal = goal
        self._say = say
        self._trouble = trouble
        self._reached = progress.is_up if goal == "running" else progress.is_down
        self._missing: list[str] = ["no agent answers yet"]
        self._said: tuple[str, float] = ("", 0.0)
        self._seen = False
        self.status: dict[str, Any] | None = None

    def watch(self, timeout: float | None) -> Outcome:
        """Returns when the goal is reached, can't be reached any more, or after ``timeout``."""
        until = clock.FOREVER if timeout is None else clock.monotonic() + timeout
        version = ""
        while True:
            left = until - clock.monotonic()
            try:
                answer = self._ask(version, max(0.0, min(POLL_S, left)))
            except NothingThere:
                if (outcome := self._nobody()) is not None:
                    return outcome
                version = ""
                time.sleep(max(0.0, min(LOOK_S, left)))
            else:
                version = answer.version or version
                if answer.value is not None and (outcome := self._judge(answer.value)) is not None:
                    return outcome
            if trouble := self._trouble():
                self._missing = [trouble]
                return Outcome.LOST
            self._tell()
            if left <= 0:
                return Outcome.TIMED_OUT

    def why(self, outcome: Outcome) -> str:
        """What to say of an outcome that is not REACHED."""
        late = "not in time" if outcome is Outcome.TIMED_OUT else "it can't be reached any more"
        return "\n".join((late, *_indented(self._missing)))

    def _ask(self, version: str, wait: float) -> client.Answer:
        socket: Path = client.first_agent(client.cluster(self._run_dir))
        return client.ask(socket, f"/v1/status?all=1&since={version}&wait={wait:.3f}", wait=wait)

    def _nobody(self) -> Outcome | None:
        if self._goal == "stopped":
            return Outcome.REACHED
        if self._seen:
            self._missing = ["the agent has gone"]
            return Outcome.LOST
        return None

    def _judge(self, status: dict[str, Any]) -> Outcome | None:
        self.status, unnamed = progress.chosen(status, self._patterns)
        if unnamed:
            raise NothingThere(f"cannot wait for {', '.join(unnamed)}: no such unit")
        self._seen = True
        units = progress.units(self.status)
        self._missing = progress.missing(units, self._reached, clock.wall(), MOST_LINES)
        if not self._missing:
            return Outcome.REACHED
        lost = [unit for unit in units if self._goal == "running" and progress.is_lost(unit)]
        if lost:
            self._missing = progress.missing(lost, self._reached, clock.wall(), MOST_LINES)
            return Outcome.LOST
        return None

    def _tell(self) -> None:
        """Only what changed, and not the clock in it: a long wait is a few lines, not thousands."""
        now = clock.monotonic()
        text, at = self._said
        if self.status is None:
            news = "waiting"
        else:
            units = progress.units(self.status)
            up = self._goal == "running"
            still = sum(not self._reached(unit) for unit in units)
            news = f"ready: {progress.summary(units)}" if up else f"still up: {still}"
        if news != text or now - at >= REMIND_S:
            self._said = (news, now)
            self._say("\n".join((news, *_indented(self._missing))))


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
