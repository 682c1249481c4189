"""What the reload of a plan does to the units, in words, and whether it is done.

Changes are those of the agent's answer, units those of the status JSON. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pdsup.cli.screens import progress
from pdsup.cli.screens.progress import Unit
from pdsup.cli.screens.status import cut

Change = Mapping[str, Any]
# What is said of a change before it is made.
_WORDS = {"restarted": "restart", "updated": "update", "added": "add", "removed": "remove"}
MOST_FIELDS = 40


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


def outcome(change: Change, before: Unit | None, now: Unit | None) -> str | None:
    """What became of a unit, None meanwhile; ``before``: what it was when the agent was told."""
    what = change["what"]
    if what == "removed":
        return "removed" if now is None or now["node"] != change["node"] else None
    if now is None:
        return None
    if what == "updated":
        return "updated"
    if before is not None and before["state"] in ("STOPPED", "EXITED"):
        return f"left {before['state']}"
    if now["state"] == "UNKNOWN":
        return "left: its node can't be asked" if before and before["state"] == "UNKNOWN" else None
    moved = before is not None and before["node"] != now["node"]
    afresh = before is None or moved or now["run"] > before["run"]
    if afresh and progress.is_up(now):
        return str(what)
    tried = afresh or before is None or before["since"] != now["since"]
    return "failed" if tried and progress.is_lost(now) else None


def is_good(outcome: str) -> bool:
    """Whether it is what was wanted."""
    return outcome in _WORDS or outcome.startswith("left STOPPED") or outcome == "left EXITED"


def by_name(status: dict[str, Any]) -> dict[str, Unit]:
    """The units of a status."""
    return {unit["name"]: unit for unit in progress.units(status)}


def value(change: Change, outcome: str, unit: Unit | None) -> dict[str, Any]:
    """For ``--json``: the change, and what came of it."""
    known = unit or {}
    now = {key: known.get(key) for key in ("state", "run", "pid", "reason")}
    return {**change, **now, "outcome": outcome, "ok": is_good(outcome)}


def line(change: Change, outcome: str, unit: Unit | None) -> str:
    """``prefill-0: restarted``."""
    if is_good(outcome):
        return f"{change['unit']}: {outcome}"
    reason = f", {unit['reason']}" if unit and unit["reason"] else ""
    state = f": {unit['state']}{reason}" if unit else ""
    return f"{change['unit']}: ERROR ({outcome}{state})"


def left(changes: Iterable[Change], done: Iterable[str]) -> list[Change]:
    """The changes that nothing has come of yet."""
    known = set(done)
    return [change for change in changes if change["unit"] not in known]
