"""Decides which units a command acts on, in which order, and whether it is done.

``before`` is what an agent reported about a unit when it got the command. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import PurePath
from typing import Literal, assert_never

from pdsup.answers.commands import UnitBefore
from pdsup.answers.status import LastCommand, Status, UnitStatus
from pdsup.cli.options import TIMED_OUT
from pdsup.cli.screens import progress
from pdsup.errors import NothingThere
from pdsup.units.public_state import PublicState

Verb = Literal["start", "stop", "restart", "signal", "evidence"]

# The word for a unit when the command is done.
DONE: Mapping[Verb, str] = {
    "start": "started",
    "stop": "stopped",
    "restart": "restarted",
    "signal": "signalled",
    "evidence": "evidence taken",
}


def spoken(verb: Verb) -> str:
    """The command in a sentence: ``cannot SPOKEN UNIT``."""
    return "take evidence of" if verb == "evidence" else verb


# What means every unit of this machine, and never one of another.
EVERYTHING = ("all", "*")


class Outcome(Enum):
    """The result of a command for one unit."""

    DONE = auto()
    ALREADY = auto()  # it was in that state before
    FAILED = auto()  # it gave up
    OVERTAKEN = auto()  # a later command wants something else of it
    LATE = auto()  # not done when the time was up
    SKIPPED = auto()  # not tried, because a unit of an earlier wave was not done
    NO_PROCESS = auto()  # there is no process to signal


@dataclass(frozen=True, slots=True)
class Chosen:
    """The chosen units of this machine, and those ``elsewhere``, which it can't command.

    ``mates``: further ranks elsewhere, of gangs of the chosen units of this machine.
    """

    units: tuple[UnitStatus, ...]
    elsewhere: tuple[UnitStatus, ...]
    mates: tuple[UnitStatus, ...] = ()


def choose(verb: Verb, status: Status, patterns: Iterable[str], here: Collection[str]) -> Chosen:
    """The units that match a pattern; with one rank of a gang, all its ranks.

    ``status``: of all nodes. ``here``: the nodes whose agents are on this machine; only their units
    can be commanded. ``all`` means those only. Raises NothingThere for a pattern that matches none.
    """
    units = status.units
    named: set[str] = set()
    for pattern in patterns:
        if pattern in EVERYTHING:
            found = [unit.name for unit in units if unit.node in here]
        else:
            found = [unit.name for unit in units if progress.is_named(unit, pattern)]
        if not found:
            raise NothingThere(progress.no_such(spoken(verb), [pattern], status))
        named.update(found)
    gangs = {unit.gang for unit in units if unit.name in named} - {None}
    wanted = [unit for unit in units if unit.name in named or unit.gang in gangs]
    away = [unit for unit in wanted if unit.node not in here]
    return Chosen(
        tuple(unit for unit in wanted if unit.node in here),
        tuple(unit for unit in away if unit.name in named),
        tuple(unit for unit in away if unit.name not in named),
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
        case "start" | "signal" | "evidence":
            order = [given]
        case _:
            assert_never(verb)
    return [wave for wave in order if wave]


def outcome(verb: Verb, unit: UnitStatus, before: UnitBefore) -> Outcome | None:
    """The outcome of a command for a unit; None while it is pending."""
    pending = Outcome.OVERTAKEN if _is_overtaken(verb, unit.last_command, before.at) else None
    if verb == "stop":
        if before.state.is_at_rest:
            return Outcome.ALREADY
        return Outcome.DONE if unit.state.is_at_rest else pending
    if verb == "start" and before.state.is_serving:
        return Outcome.ALREADY
    afresh = unit.run > before.run
    if _is_up(unit) and (afresh or verb == "start"):
        return Outcome.DONE
    if unit.is_lost and (afresh or unit.since != before.since):
        return Outcome.FAILED
    return pending


def _is_overtaken(verb: Verb, last: LastCommand | None, at: float | None) -> bool:
    """Whether somebody has stopped a unit since a command of ``at`` that wants it up, or the
    reverse.
    """
    if last is None or at is None or last.at <= at:
        return False
    return (last.verb == "stop") != (verb == "stop")


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
            case Outcome.OVERTAKEN:
                last = self.unit.last_command
                return f"overtaken by {last.verb} {last.by}" if last else "overtaken"
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


def job_of(run_dir: str, environ: Mapping[str, str]) -> str | None:
    """The Slurm job of a run: that of this command, else the one that a run directory of the
    default form, ``runs/NAME-JOBID``, is named for.
    """
    number = PurePath(run_dir).name.rpartition("-")[2]
    return environ.get("SLURM_JOB_ID") or (number if number.isdecimal() else None)


def on_node(words: Sequence[str], node: str, job: str | None) -> str:
    """A command line that runs ``pdsup WORDS...`` on another node, ready to paste: as a step beside
    the others of the job, or over ssh if there is no job.
    """
    own = shlex.join(["pdsup", *words])
    if job is None:
        return f"ssh {shlex.quote(node)} {shlex.quote(own)}"
    return f"srun --jobid={job} --overlap --nodes=1 --ntasks=1 -w {shlex.quote(node)} {own}"


def exit_status(results: Collection[Result]) -> int:
    """The exit status: 0 if every unit is done; 124 if the time was up for one; else 1."""
    if all(result.good for result in results):
        return 0
    return TIMED_OUT if any(result.outcome is Outcome.LATE for result in results) else 1
