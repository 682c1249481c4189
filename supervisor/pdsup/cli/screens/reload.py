"""What the reload of a plan does to the units, in words, and whether it is done.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import assert_never

from pdsup.answers.reload import Reloading
from pdsup.answers.status import Status, UnitStatus
from pdsup.cli.screens.status import cut
from pdsup.plan.difference import Change, What
from pdsup.units.public_state import PublicState

# What is said of a change before it is made.
_WORDS: Mapping[What, str] = {
    "restarted": "restart",
    "updated": "update",
    "added": "add",
    "removed": "remove",
}
MOST_FIELDS = 40


class Outcome(Enum):
    """What became of a unit that a reload was to change."""

    DONE = auto()
    LEFT_DOWN = auto()  # it was down, and stays so
    LEFT_UNKNOWN = auto()  # its node can't be asked
    FAILED = auto()  # it gave up
    LATE = auto()  # it is not so yet, and the time is over


def table(answer: Reloading) -> list[str]:
    """A line for each unit that changes, and one for the rest."""
    rows = [(_WORDS[c.what], c.unit, c.node, _fields(c)) for c in answer.units]
    word, unit, node = (max((len(row[at]) for row in rows), default=0) for at in range(3))
    lines = [f"{a:{word}}  {b:{unit}}  {c:{node}}  {d}".rstrip() for a, b, c, d in rows]
    if answer.settings:
        lines.append(f"settings of the plan: {', '.join(answer.settings)}")
    same = answer.unchanged
    return [*lines, f"{same} unit{'' if same == 1 else 's'} unchanged"]


def _fields(change: Change) -> str:
    return cut(", ".join(change.fields), MOST_FIELDS)


def late_nodes(before: Status, now: Status) -> list[str]:
    """The nodes whose agent could be asked ``before`` and that have no other one yet."""
    then = {node.node: node.agent for node in before.nodes}
    return [
        node.node
        for node in now.nodes
        if then[node.node].reachable
        and not (node.agent.reachable and node.agent.incarnation != then[node.node].incarnation)
    ]


def outcome(change: Change, before: UnitStatus | None, now: UnitStatus | None) -> Outcome | None:
    """What became of a unit, None meanwhile; ``before``: what it was when the agent was told."""
    if change.what == "removed":
        return Outcome.DONE if now is None or now.node != change.node else None
    if now is None:
        return None
    if change.what == "updated":
        return Outcome.DONE
    if before is not None and before.state.is_at_rest:
        return Outcome.LEFT_DOWN
    if now.state is PublicState.UNKNOWN:
        lost = before is not None and before.state is PublicState.UNKNOWN
        return Outcome.LEFT_UNKNOWN if lost else None
    moved = before is not None and before.node != now.node
    afresh = before is None or moved or now.run > before.run
    if afresh and now.is_up:
        return Outcome.DONE
    tried = afresh or before is None or before.since != now.since
    return Outcome.FAILED if tried and now.is_lost else None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one unit. ``before``: as in ``outcome``; ``now``: None where it is gone."""

    change: Change
    outcome: Outcome
    before: UnitStatus | None
    now: UnitStatus | None

    @property
    def good(self) -> bool:
        """Whether it is what was wanted."""
        return self.outcome in (Outcome.DONE, Outcome.LEFT_DOWN)

    def words(self) -> str:
        """The outcome, as it is told and as ``--json`` gives it."""
        match self.outcome:
            case Outcome.DONE:
                return self.change.what
            case Outcome.LEFT_DOWN:
                return f"left {self.before.state if self.before else PublicState.STOPPED}"
            case Outcome.LEFT_UNKNOWN:
                return "left: its node can't be asked"
            case Outcome.FAILED:
                return "failed"
            case Outcome.LATE:
                return f"not {self.change.what} in time"
        assert_never(self.outcome)

    def value(self) -> dict[str, object]:
        """For ``--json``: the change, and what came of it."""
        now = {key: getattr(self.now, key, None) for key in ("state", "run", "pid", "reason")}
        return {**asdict(self.change), **now, "outcome": self.words(), "ok": self.good}

    def line(self) -> str:
        """``prefill-0: restarted``."""
        name, unit = self.change.unit, self.now
        if self.good:
            return f"{name}: {self.words()}"
        reason = f", {unit.reason}" if unit and unit.reason else ""
        state = f": {unit.state}{reason}" if unit else ""
        return f"{name}: ERROR ({self.words()}{state})"


def by_name(status: Status) -> dict[str, UnitStatus]:
    """The units of a status."""
    return {unit.name: unit for unit in status.units}


def to_json(answer: Reloading, results: Iterable[Result]) -> dict[str, object]:
    """As ``pdsup reload --json`` prints it: the answer, and what came of each change."""
    return {
        "plan": answer.plan,
        "units": [result.value() for result in results],
        "unchanged": answer.unchanged,
        "settings": answer.settings,
    }


def left(changes: Iterable[Change], done: Iterable[str]) -> list[Change]:
    """The changes that nothing has come of yet."""
    known = set(done)
    return [change for change in changes if change.unit not in known]
