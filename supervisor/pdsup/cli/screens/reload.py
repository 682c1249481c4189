"""Describes what the reload of a plan does to the units, and judges whether it is done. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum, auto
from typing import assert_never

from pdsup.answers.reload import Reloading
from pdsup.answers.status import AgentStatus, Status, UnitStatus
from pdsup.cli.screens import progress
from pdsup.cli.screens.status import cut
from pdsup.plan.difference import Change, What
from pdsup.units.public_state import PublicState

# What a change is called before it is made.
_WORDS: Mapping[What, str] = {
    "restarted": "restart",
    "updated": "update",
    "added": "add",
    "removed": "remove",
}
MOST_FIELDS = 40
MOST_LINES = 8


class Outcome(Enum):
    """The result for a unit that a reload was to change."""

    DONE = auto()
    LEFT_DOWN = auto()  # it was down and stays down
    LEFT_UNKNOWN = auto()  # its node does not answer
    FAILED = auto()  # it gave up
    LATE = auto()  # not done when the time was up


def table(answer: Reloading) -> list[str]:
    """One line for each unit that changes, and one for the rest."""
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
    """The nodes whose agent answered ``before`` and has not been replaced yet."""
    then = {node.node: node.agent for node in before.nodes}
    return [
        node.node
        for node in now.nodes
        if then[node.node].reachable
        and not (node.agent.reachable and node.agent.incarnation != then[node.node].incarnation)
    ]


def waits_for(
    before: Status, now: Status, answer: Reloading, done: Iterable[str], time: float
) -> list[str]:
    """Lines about what a reload waits for: agents, then units of other nodes. ``time``: seconds
    since the epoch.
    """
    agents = {node.node: node.agent for node in now.nodes}
    late = late_nodes(before, now)
    lines = [_agent(name, agents[name]) for name in late]
    if now.plan != answer.plan:
        return lines or ["the agents to load the changed plan"]
    waiting = {change.unit for change in left(answer.units, done, late)}
    units = [unit for unit in now.units if unit.name in waiting]
    return lines + progress.missing(units, lambda _: False, time, MOST_LINES)


def _agent(node: str, agent: AgentStatus) -> str:
    problem = f" ({agent.problem})" if agent.problem else ""
    return f"a new agent on {node}{problem}"


def outcome(change: Change, before: UnitStatus | None, now: UnitStatus | None) -> Outcome | None:
    """The outcome for a unit, None while pending; ``before``: its status before the reload."""
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
    """The result for one unit. ``before``: as in ``outcome``; ``now``: None if it is gone."""

    change: Change
    outcome: Outcome
    before: UnitStatus | None
    now: UnitStatus | None

    @property
    def good(self) -> bool:
        """Whether the outcome is a success."""
        return self.outcome in (Outcome.DONE, Outcome.LEFT_DOWN)

    def words(self) -> str:
        """The outcome in words, for people and for ``--json``."""
        match self.outcome:
            case Outcome.DONE:
                return self.change.what
            case Outcome.LEFT_DOWN:
                return f"left {self.before.state if self.before else PublicState.STOPPED}"
            case Outcome.LEFT_UNKNOWN:
                return "left as it was: its node does not answer"
            case Outcome.FAILED:
                return "failed"
            case Outcome.LATE:
                return f"not {self.change.what} in time"
        assert_never(self.outcome)

    def value(self) -> dict[str, object]:
        """The change and its outcome, for ``--json``."""
        now = {key: getattr(self.now, key, None) for key in ("state", "run", "pid", "reason")}
        return {**asdict(self.change), **now, "outcome": self.words(), "ok": self.good}

    def line(self) -> str:
        """The outcome on one line: ``prefill-0: restarted``."""
        name, unit = self.change.unit, self.now
        if self.good:
            return f"{name}: {self.words()}"
        reason = f", {unit.reason}" if unit and unit.reason else ""
        state = f": {unit.state}{reason}" if unit else ""
        return f"{name}: ERROR ({self.words()}{state})"


def by_name(status: Status) -> dict[str, UnitStatus]:
    """The units of a status, by name."""
    return {unit.name: unit for unit in status.units}


def to_json(answer: Reloading, results: Iterable[Result]) -> dict[str, object]:
    """The output of ``pdsup reload --json``: the agent's answer and the outcome of each change."""
    return {
        "plan": answer.plan,
        "units": [result.value() for result in results],
        "unchanged": answer.unchanged,
        "settings": answer.settings,
    }


def left(
    changes: Iterable[Change], done: Iterable[str], late: Collection[str] = ()
) -> list[Change]:
    """The changes without an outcome yet; without those of ``late`` nodes, which can't have one."""
    known = set(done)
    return [one for one in changes if one.unit not in known and one.node not in late]
