"""Encodes and parses lines of the journal: one JSON object per state change or other event.

The line of a state change contains everything that its decision depended on, so a unit's life can
be replayed. Lines about anything else lack the fields ``from`` and ``to``. A journal may be from
another version, and its last line may be half written: unknown fields are kept and ignored, and a
line that is not an entry is skipped. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, assert_never

from pdsup.printable import printable
from pdsup.units import codec, states
from pdsup.units.facts import Line, Transition
from pdsup.units.logs.files import stamp
from pdsup.units.process.exit import ExitStatus
from pdsup.units.public_state import PublicState

# The end of the year 9999: a calendar has no later time.
LATEST = 253402300799.0
LONGEST_UPTIME = 1e9

Event = Literal["GpusThrottled", "GpusUnthrottled", "GpusLost", "GpusBack"]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that is not a state change. ``at``: monotonic seconds. ``unit``: None if it is
    about this node or another one. ``facts``: further fields for programs.
    """

    at: float
    unit: str | None
    run: int | None
    event: Literal["Reloaded", "ReloadFailed", "NodeLost", "NodeBack", "Requested"] | Event
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def as_json(news: Transition | Happening, node: str, wall: float, boot: str = "") -> dict[str, Any]:
    """The fields of a line. ``wall``: seconds since the epoch. ``boot``: identifies the boot that
    monotonic seconds count from.
    """
    counted_from = {"boot": boot} if boot else {}
    match news:
        case Transition():
            return _step(news, node, wall) | counted_from
        case Happening():
            return _happening(news, node, wall) | counted_from
    assert_never(news)


def line(news: Transition | Happening, node: str, wall: float, boot: str = "") -> Line:
    """Encodes a line of the journal; the arguments are those of ``as_json``."""
    values = as_json(news, node, wall, boot)
    return Line(codec.compact(values) + "\n", values["monotonic"], wall)


def _step(transition: Transition, node: str, wall: float) -> dict[str, Any]:
    return {
        "at": round(wall, 6),
        "monotonic": transition.context.now,
        "node": node,
        "unit": transition.unit,
        "run": states.run_of(transition.after) or states.run_of(transition.before),
        "event": codec.tagged(transition.event),
        "from": states.public(transition.before),
        "to": states.public(transition.after),
        "reason": states.reason_of(transition.after),
        "state": codec.tagged(transition.after),
        "context": codec.context(transition.context),
        **({"detail": transition.detail} if transition.detail else {}),
    }


def _happening(happening: Happening, node: str, wall: float) -> dict[str, Any]:
    return {
        "at": round(wall, 6),
        "monotonic": happening.at,
        "node": node,
        "unit": happening.unit,
        "run": happening.run,
        "event": {"type": happening.event, **happening.facts},
        "reason": happening.reason,
    }


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that a journal lacks, because they could not be written. ``since``: seconds since the
    epoch.
    """

    count: int
    since: float
    cause: str


LOSS = "EventsLost"


def loss_line(loss: Loss, node: str, monotonic: float, wall: float, boot: str = "") -> str:
    """Encodes a line in place of lost events; the times are those of the line after it."""
    events = "1 event" if loss.count == 1 else f"{loss.count} events"
    values = {
        "at": round(wall, 6),
        "monotonic": monotonic,
        "node": node,
        "unit": None,
        "run": None,
        "event": {"type": LOSS, **asdict(loss)},
        **({"boot": boot} if boot else {}),
        "reason": f"{events} since {stamp(loss.since)} are missing here: {loss.cause}",
    }
    return codec.compact(values) + "\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal. ``at``: seconds since the epoch; ``raw``: all of its fields.

    ``unit`` is empty if the entry is about a node. ``event`` is the event's type. ``before`` and
    ``to`` are None if the entry is not a state change, or has states of another version. ``exit``:
    how a process ended, if the entry is about that. ``short_reason``: ``reason`` without the last
    output, the progress of a stop, or the name of a lost node.
    """

    at: float
    node: str
    unit: str
    run: int | None
    event: str
    before: PublicState | None
    to: PublicState | None
    reason: str
    short_reason: str
    exit: ExitStatus | None
    raw: Mapping[str, Any]

    @property
    def monotonic(self) -> float | None:
        """The monotonic seconds of its moment, if it has them and no machine runs too short or too
        long for them.
        """
        value = self.raw.get("monotonic")
        if isinstance(value, int | float) and 0 <= value <= LONGEST_UPTIME:
            return float(value)
        return None

    @property
    def boot(self) -> str:
        """The boot that they count from; "" if it does not say."""
        value = self.raw.get("boot")
        return value if isinstance(value, str) else ""

    @property
    def detail(self) -> str:
        """What was known beyond the state ``before``, such as why a unit was not ready yet."""
        return printable(str(self.raw.get("detail") or ""))

    @property
    def changes(self) -> bool:
        """Whether the public state changed, and not only the reason for it."""
        return self.before != self.to


# Longer than any line with reasons of a thousand units; a longer one costs ten times its size.
MOST_BYTES = 1 << 20


def parse(line: str | bytes) -> Entry | None:
    """Parses a line; returns None if it is not an entry."""
    if len(line) > MOST_BYTES:
        return None
    try:
        raw = json.loads(line)
        return Entry(
            at=_time(raw["at"]),
            node=printable(str(raw["node"])),
            unit=printable(str(raw.get("unit") or "")),
            run=raw["run"] if isinstance(raw.get("run"), int) else None,
            event=printable(_type(raw.get("event"))),
            before=_state(raw.get("from")),
            to=_state(raw.get("to")),
            reason=printable(str(raw.get("reason") or "")),
            short_reason=printable(_short_reason(raw)),
            exit=_exit(raw.get("event")),
            raw=raw,
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _time(at: Any) -> float:
    if not 0 <= float(at) <= LATEST:  # not NaN either
        raise ValueError(f"no time: {at}")
    return float(at)


def _type(event: Any) -> str:
    return str(event.get("type") or "") if isinstance(event, dict) else str(event or "")


_WORDS = frozenset(PublicState)


def _state(word: Any) -> PublicState | None:
    return PublicState(word) if isinstance(word, str) and word in _WORDS else None


def _short_reason(raw: Mapping[str, Any]) -> str:
    state, event = _table(raw.get("state")), _table(raw.get("event"))
    reason = str(state.get("reason") or event.get("problem") or raw.get("reason") or "")
    # Lines of 0.1.0 lack these fields: their content is only in the text of the reason.
    if state.get("type") in ("Backoff", "Fatal") and "last_words" not in state:
        return reason.partition(": cause unknown")[0]
    if event.get("type") == "NodeLost" and "problem" not in event:
        return reason.removeprefix(f"{event.get('node')}: ")
    return reason


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _exit(event: Any) -> ExitStatus | None:
    status = _table(event).get("status")
    if not isinstance(status, dict):
        return None
    code, signal = status.get("code"), status.get("signal")
    return ExitStatus(
        code if isinstance(code, int) else None, signal if isinstance(signal, str) else None
    )


def merged(journals: Iterable[Sequence[Entry]]) -> list[Entry]:
    """Merges the entries of several nodes by time, without reordering those of any one node.

    A node's clock may have been set back; what it saw stays in the order in which it saw it.
    """
    timed: list[tuple[float, Entry]] = []
    for journal in journals:
        latest = float("-inf")
        for entry in journal:
            latest = max(latest, entry.at)
            timed.append((latest, entry))
    return [entry for _, entry in sorted(timed, key=lambda pair: pair[0])]
