"""The status table: one line per unit, like supervisorctl's. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pdsup.answers.status import NodeStatus, UnitStatus
from pdsup.units.public_state import PublicState

LEAST_DETAILS = 12
# What is longer stands out of its column, so that one long reason moves no other row's node away.
MOST_DETAILS = 60
_COLOURS = {
    PublicState.RUNNING: "32",
    PublicState.EXITED: "32",
    PublicState.STOPPED: "2",
    PublicState.FATAL: "31;1",
    PublicState.UNKNOWN: "31",
    PublicState.UNHEALTHY: "31",
    PublicState.BACKOFF: "33",
    PublicState.WAITING: "36",
    PublicState.STARTING: "36",
    PublicState.STOPPING: "33",
}


def table(
    nodes: Iterable[NodeStatus], *, colour: bool = False, width: int | None = None
) -> list[str]:
    """Lines of name, state, then pid, uptime and restarts or the reason, then the node.

    On a terminal of ``width`` characters the third column is cut so that the last one fits; without
    a width nothing is cut.
    """
    units = [(unit, node.node) for node in nodes for unit in node.units]
    names, states = ([getattr(unit, key) for unit, _ in units] for key in ("name", "state"))
    widths = [max(map(len, column), default=0) for column in (names, states)]
    others = sum(widths) + max((len(node) for _, node in units), default=0) + 6
    most = None if width is None else max(LEAST_DETAILS, width - others)
    rows = [(unit.name, unit.state, _fitting(unit, most), node) for unit, node in units]
    widths.append(max((len(row[2]) for row in rows if len(row[2]) <= MOST_DETAILS), default=0))
    return [_line(row, widths, colour) for row in rows]


def _fitting(unit: UnitStatus, most: int | None) -> str:
    text = details(unit)
    if most is None or len(text) <= most:
        return text
    return cut(details(replace(unit, reason=unit.in_short)), most)


def details(unit: UnitStatus) -> str:
    """What a user wants to know of a unit after its state."""
    parts = []
    if unit.pid is not None:
        parts.append(f"pid {unit.pid}")
    if unit.uptime_s is not None:
        parts.append(f"uptime {duration(unit.uptime_s)}")
    if unit.restarts:
        parts.append(f"restarts {unit.restarts}")
    if unit.reason:
        parts.append(unit.reason)
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """``0:01:07``, and with days ``2 days, 3:04:05``: as supervisorctl writes it."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    prefix = f"{days} day{'s' if days > 1 else ''}, " if days else ""
    return f"{prefix}{hour}:{minute:02}:{second:02}"


def brief(seconds: float) -> str:
    """A time that is mostly short: ``0.7 s``, from a minute on as ``duration`` writes it."""
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def cut(text: str, width: int) -> str:
    """At most ``width`` characters; an ellipsis says that there were more."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _line(row: tuple[str, PublicState, str, str], widths: list[int], colour: bool) -> str:
    name, state, text, node = row
    shown = state.ljust(widths[1])
    shown = painted(state, shown) if colour else shown
    return f"{name:{widths[0]}}  {shown}  {text:{widths[2]}}  {node}".rstrip()


def painted(state: PublicState, text: str) -> str:
    """``text`` in the colour of a state, for a terminal."""
    return f"\x1b[{_COLOURS[state]}m{text}\x1b[0m"
