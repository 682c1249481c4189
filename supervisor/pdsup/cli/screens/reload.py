"""What the reload of a plan does to the units, in words, and whether it is done.

Changes are those of the agent's answer, units those of the status JSON. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, assert_never

from pdsup.cli.screens import progress
from pdsup.cli.screens.progress import Unit
from pdsup.cli.screens.status import cut

Change = Mapping[str, Any]
# What is said of a change before it is made.
_WORDS = {"restarted": "restart", "updated": "update", "added": "add", "removed": "remove"}
MOST_FIELDS = 40


class Outcome(Enum):
    """What became of a unit that a reload was to change."""

    DONE = auto()
    LEFT_DOWN = auto()  # it was down, and stays so
    LEFT_UNKNOWN = auto()  # its node can't be asked
    FAILED = auto()  # it gave up
    LATE = auto()  # it is not so yet, and the time is over


def table(answer: Mapping[str, Any]) -> list[str]:
    """A line for each unit that changes, and one for the rest."""
    rows = [(_WORDS[c["what"]], c["unit"], c["node"], _fields(c)) for c in answer["units"]]
    word, unit, node = (max((len(row[at]) for row in rows), default=0) for at in range(3))
    lines = [f"{a:{word}}  {b:{unit}}  {c:{node}}  {d}".rstrip() for a, b, c, d in rows]
    if answer["settings"]:
        lines.append(f"settings of the plan: {', '.join(answer['settings'])}")
    same = answer["unchanged"]
    return [*lines, f"{same} unit{'' if same == 1 else 's'} unchanged"]


def _fields(change: Change) -> str:
    return cut(", ".join(change["fields"]), MOST_FIELDS)


def late_nodes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The nodes whose agent could be asked ``before`` and that have no other one yet."""
    then = {node["node"]: node["agent"] for node in before["nodes"]}
    return [
        node["node"]
        for node in now["nodes"]
        if then[node["node"]]["reachable"]
        and not (
            node["agent"]["reachable"]
            and node["agent"]["incarnation"] != then[node["node"]]["incarnation"]
        )
    ]


def outcome(change: Change, before: Unit | None, now: Unit | None) -> Outcome | None:
    """What became of a unit, None meanwhile; ``before``: what it was when the agent was told."""
    what = change["what"]
    if what == "removed":
        return Outcome.DONE if now is None or now["node"] != change["node"] else None
    if now is None:
        return None
    if what == "updated":
        return Outcome.DONE
    if before is not None and before["state"] in ("STOPPED", "EXITED"):
        return Outcome.LEFT_DOWN
    if now["state"] == "UNKNOWN":
        return Outcome.LEFT_UNKNOWN if before and before["state"] == "UNKNOWN" else None
    moved = before is not None and before["node"] != now["node"]
    afresh = before is None or moved or now["run"] > before["run"]
    if afresh and progress.is_up(now):
        return Outcome.DONE
    tried = afresh or before is None or before["since"] != now["since"]
    return Outcome.FAILED if tried and progress.is_lost(now) else None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one unit. ``before``: as in ``outcome``; ``now``: None where it is gone."""

    change: Change
    outcome: Outcome
    before: Unit | None
    now: Unit | None

    @property
    def good(self) -> bool:
        """Whether it is what was wanted."""
        return self.outcome in (Outcome.DONE, Outcome.LEFT_DOWN)

    def words(self) -> str:
        """The outcome, as it is told and as ``--json`` gives it."""
        match self.outcome:
            case Outcome.DONE:
                return str(self.change["what"])
            case Outcome.LEFT_DOWN:
                return f"left {self.before['state'] if self.before else 'STOPPED'}"
            case Outcome.LEFT_UNKNOWN:
                return "left: its node can't be asked"
            case Outcome.FAILED:
                return "failed"
            case Outcome.LATE:
                return f"not {self.change['what']} in time"
        assert_never(self.outcome)

    def value(self) -> dict[str, Any]:
        """For ``--json``: the change, and what came of it."""
        known = self.now or {}
        now = {key: known.get(key) for key in ("state", "run", "pid", "reason")}
        return {**self.change, **now, "outcome": self.words(), "ok": self.good}

    def line(self) -> str:
        """``prefill-0: restarted``."""
        name, unit = self.change["unit"], self.now
        if self.good:
            return f"{name}: {self.words()}"
        reason = f", {unit['reason']}" if unit and unit["reason"] else ""
        state = f": {unit['state']}{reason}" if unit else ""
        return f"{name}: ERROR ({self.words()}{state})"


def by_name(status: dict[str, Any]) -> dict[str, Unit]:
    """The units of a status."""
    return {unit["name"]: unit for unit in progress.units(status)}


def left(changes: Iterable[Change], done: Iterable[str]) -> list[Change]:
    """The changes that nothing has come of yet."""
    known = set(done)
    return [change for change in changes if change["unit"] not in known]
