"""Decides which units a command acts on, in which order, and whether it is done.

``before`` is what an agent reported about a unit when it got the command. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, assert_never

from pdsup.answers.commands import UnitBefore
from pdsup.answers.status import Status, UnitStatus
from pdsup.cli.options import TIMED_OUT
from pdsup.cli.screens import progress
from pdsup.errors import NothingThere
from pdsup.units.public_state import PublicState

Verb = Literal["start", "stop", "restart", "signal"]

# The word for a unit when the command is done.
DONE: Mapping[Verb, str] = {
    "start": "started",
    "stop": "stopped",
    "restart": "restarted",
    "signal": "signalled",
}


class Outcome(Enum):
    """The result of a command for one unit."""

    DONE = auto()
    ALREADY = auto()  # it was in that state before
    FAILED = auto()  # it gave up
    LATE = auto()  # not done when the time was up
    SKIPPED = auto()  # not tried, because a unit of an earlier wave was not done
    NO_PROCESS = auto()  # there is no process to signal


@dataclass(frozen=True, slots=True)
class Chosen:
    """The chosen units of this machine, and ranks of their gangs that are ``elsewhere``."""

    units: tuple[UnitStatus, ...]
    elsewhere: tuple[UnitStatus, ...]


def choose(verb: str, status: Status, patterns: Iterable[str], here: Collection[str]) -> Chosen:
    """The units that match a pattern; with one rank of a gang, all its ranks.

    ``status``: of all nodes. ``here``: the nodes whose agents are on this machine; only their units
    can be commanded. Raises NothingThere for a pattern that matches none of these.
    """
    units = status.units
    named: set[str] = set()
    for pattern in patterns:
        found = [unit for unit in units if pattern == "all" or progress.is_named(unit, pattern)]
        own = [unit.name for unit in found if unit.node in here]
        if not own:
            raise NothingThere(_nothing(verb, pattern, found, status))
        named.update(own)
    gangs = {unit.gang for unit in units if unit.name in named} - {None}
    wanted = [unit for unit in units if unit.name in named or unit.gang in gangs]
    return Chosen(
        tuple(unit for unit in wanted if unit.node in here),
        tuple(unit for unit in wanted if unit.node not in here),
    )


def _nothing(verb: str, pattern: str, found: list[UnitStatus], status: Status) -> str:
    if not found:
        return progress.no_such(verb, [pattern], status)
    nodes = ", ".join(dict.fromkeys(unit.node for unit in found))
    return (
        f"cannot {verb} {pattern}: it runs on {nodes}, not on this machine; run the command there"
    )


def waves(verb: Verb, units: Iterable[UnitStatus]) -> list[list[UnitStatus]]:
    """The units in waves; each wave is done before the next begins.

    A stop goes from the front to the workers, so that no request loses the unit behind it. A
    restart takes one router at a time, so that the others keep serving. A start needs no waves:
    gates order it.
    """
    given = list(units)
    nginx = [unit for unit in given if unit.kind == "nginx"]
    routers = [unit for unit in given if unit.kind == "router"]
    others = [unit for unit in given if unit.kind not in ("nginx", "router")]
    match verb:
        case "stop":
            order = [nginx, routers, others]
        case "restart":
            order = [others + nginx, *([router] for router in routers)]
        case "start" | "signal":
            order = [given]
        case _:
            assert_never(verb)
    return [wave for wave in order if wave]


def outcome(verb: Verb, unit: UnitStatus, before: UnitBefore) -> Outcome | None:
    """The outcome of a command for a unit; None while it is pending."""
    if verb == "stop":
        if before.state.is_at_rest:
            return Outcome.ALREADY
        return Outcome.DONE if unit.state.is_at_rest else None
    if verb == "start" and before.state.is_serving:
        return Outcome.ALREADY
    afresh = unit.run > before.run
    if _is_up(unit) and (afresh or verb == "start"):
        return Outcome.DONE
    if unit.is_lost and (afresh or unit.since != before.since):
        return Outcome.FAILED
    return None


def _is_up(unit: UnitStatus) -> bool:
    """Whether a unit is up; for nginx RUNNING is enough, as its readiness depends on routers."""
    return unit.is_up or (unit.kind == "nginx" and unit.state is PublicState.RUNNING)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a command for one unit."""

    verb: Verb
    unit: UnitStatus
    outcome: Outcome

    @property
    def good(self) -> bool:
        """Whether the unit is in the state that was asked for."""
        return self.outcome in (Outcome.DONE, Outcome.ALREADY)

    def words(self) -> str:
        """The outcome in words, for people and for ``--json``."""
        done = DONE[self.verb]
        match self.outcome:
            case Outcome.DONE:
                return done
            case Outcome.ALREADY:
                return f"already {done}"
            case Outcome.FAILED:
                return "failed"
            case Outcome.LATE:
                return f"not {done} in time"
            case Outcome.SKIPPED:
                return f"not {done}"
            case Outcome.NO_PROCESS:
                return "not running"
        assert_never(self.outcome)

    def line(self) -> str:
        """The outcome on one line, like supervisorctl's: ``router-0: stopped``."""
        if self.good:
            return f"{self.unit.name}: {self.words()}"
        reason = f", {self.unit.reason}" if self.unit.reason else ""
        return f"{self.unit.name}: ERROR ({self.words()}: {self.unit.state}{reason})"

    def value(self) -> dict[str, object]:
        """The result, for ``--json``."""
        shown = ("name", "node", "state", "run", "pid", "reason")
        copied = {name: getattr(self.unit, name) for name in shown}
        return {**copied, "outcome": self.words(), "ok": self.good}


def exit_status(results: Collection[Result]) -> int:
    """The exit status: 0 if every unit is done; 124 if the time was up for one; else 1."""
    if all(result.good for result in results):
        return 0
    return TIMED_OUT if any(result.outcome is Outcome.LATE for result in results) else 1
