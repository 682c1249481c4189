"""What the journals tell, as values: entries, and the runs of a unit in them. Pure.

A journal may come from another version, and its last line may be half written: fields that are not
known are kept and not looked at, and what is no entry is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

# States without a process: whoever comes to one of them has ended its run.
DOWN = frozenset({"STOPPED", "WAITING", "BACKOFF", "EXITED", "FATAL"})
# How a reason goes on where nothing in the output says why the process ended.
UNKNOWN_CAUSE = ": cause unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal. ``at``: seconds since the epoch; ``raw``: all of its fields.

    ``unit`` is empty where it is about the node. ``event`` is the event's type. ``to`` is empty
    where it is no step of a unit.
    """

    at: float
    node: str
    unit: str
    run: int | None
    event: str
    before: str
    to: str
    reason: str
    raw: Mapping[str, Any]

    @property
    def changes(self) -> bool:
        """Whether the state is another one, not only the reason for it."""
        return self.before != self.to


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a unit; times are seconds since the epoch, None for what has not happened.

    ``how``: why and how it ended. ``failed``: nobody asked for its end.
    """

    unit: str
    node: str
    number: int | None
    began: float
    ready: float | None = None
    ended: float | None = None
    how: str = ""
    failed: bool = False


def entry(line: str | bytes) -> Entry | None:
    """The entry of a line; None when that is none."""
    try:
        raw = json.loads(line)
        return Entry(
            at=float(raw["at"]),
            node=str(raw["node"]),
            unit=str(raw.get("unit") or ""),
            run=raw["run"] if isinstance(raw.get("run"), int) else None,
            event=_type(raw.get("event")),
            before=str(raw.get("from") or ""),
            to=str(raw.get("to") or ""),
            reason=str(raw.get("reason") or ""),
            raw=raw,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _type(event: Any) -> str:
    return str(event.get("type") or "") if isinstance(event, dict) else str(event or "")


def merged(journals: Iterable[Sequence[Entry]]) -> list[Entry]:
    """The entries of several nodes in the order of time; each node's own stay in theirs.

    A clock that was set back must not turn the order of what one node saw.
    """
    timed: list[tuple[float, Entry]] = []
    for journal in journals:
        latest = float("-inf")
        for one in journal:
            latest = max(latest, one.at)
            timed.append((latest, one))
    return [one for _, one in sorted(timed, key=lambda pair: pair[0])]


def steps(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """For each unit the entries that tell its state, in order: all that follow states go by them.

    Not those of what happens to a unit without one, such as a reload.
    """
    found: dict[str, list[Entry]] = {}
    for one in entries:
        if one.unit and one.to:
            found.setdefault(one.unit, []).append(one)
    return found


def runs(entries: Iterable[Entry]) -> list[Run]:
    """Every run of one unit, the oldest first; ``entries`` are its ``steps``."""
    found: list[Run] = []
    why = ""
    for one in entries:
        going = found and found[-1].ended is None
        if going and _ends(one, found[-1]):
            found[-1] = _ended(found[-1], one, why)
            going = False
        if one.to == "STARTING" and not going:
            found.append(Run(one.unit, one.node, one.run, one.at))
        elif going and one.to == "RUNNING" and found[-1].ready is None:
            found[-1] = replace(found[-1], ready=one.at)
        why = one.reason.partition("; ")[0] if one.to == "STOPPING" else ""
    return found


def _ends(one: Entry, run: Run) -> bool:
    """Also when another run begins at once, or after an agent that could not tell."""
    another = one.to == "STARTING" and one.run != run.number
    return one.to in DOWN or another


def _ended(run: Run, one: Entry, why: str) -> Run:
    """``why``: what its stop was for, where it was stopped."""
    lost = "" if one.before not in DOWN else "it was gone when its agent came back"
    how = why or lost or short(one.reason) or exit_of(one) or "ended"
    return replace(run, ended=one.at, how=how, failed=one.to in ("BACKOFF", "FATAL"))


def short(reason: str) -> str:
    """A reason without the last words of the output, for those who see that output anyway."""
    return reason.partition(UNKNOWN_CAUSE)[0]


def exit_of(one: Entry) -> str:
    """How a process ended, in the words of its status; empty where the entry tells of no end."""
    event = one.raw.get("event")
    status = event.get("status") if isinstance(event, dict) else None
    if not isinstance(status, dict):
        return ""
    if status.get("signal"):
        return f"killed by {status['signal']}"
    return f"exited with status {status.get('code')}"


def to_json(run: Run) -> dict[str, Any]:
    """A run as the explanation and the report give it."""
    return {
        "run": run.number,
        "began": run.began,
        "ready": run.ready,
        "ended": run.ended,
        "how": run.how,
        "failed": run.failed,
    }


def usual_load(entries: Iterable[Entry], kind_of: Mapping[str, str]) -> dict[str, float]:
    """For each kind of unit, the median of the seconds that runs took from their start to ready.

    ``kind_of``: the kinds of units, by their names; others are left out.
    """
    by_unit = steps(entries)
    loads: dict[str, list[float]] = {}
    for unit in by_unit.keys() & kind_of.keys():
        ready = [run.ready - run.began for run in runs(by_unit[unit]) if run.ready is not None]
        loads.setdefault(kind_of[unit], []).extend(ready)
    return {kind: sorted(found)[len(found) // 2] for kind, found in loads.items() if found}
