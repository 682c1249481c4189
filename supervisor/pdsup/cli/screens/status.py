"""The status table: one line per unit, like supervisorctl's. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pdsup.answers.status import NodeStatus, UnitStatus
from pdsup.printable import printable
from pdsup.times import age
from pdsup.units.public_state import PublicState

LEAST_DETAILS = 12
# Longer details overflow their column, so that one long reason does not push every node aside.
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
    """One line per unit: name, state, details (pid, uptime, restarts, reason), node.

    With a ``width`` (in characters) the details are cut so that the node fits.
    """
    units = [(unit, node.node) for node in nodes for unit in node.units]
    styles = [style(unit) for unit, _ in units]
    names, states = ([getattr(unit, key) for unit, _ in units] for key in ("name", "state"))
    widths = [max(map(len, column), default=0) for column in (names, states)]
    others = sum(widths) + max((len(node) for _, node in units), default=0) + 6
    most = None if width is None else max(LEAST_DETAILS, width - others)
    rows = [(unit.name, unit.state, _fitting(unit, most), node) for unit, node in units]
    widths.append(max((len(row[2]) for row in rows if len(row[2]) <= MOST_DETAILS), default=0))
    return [
        _line(row, widths, one if colour else None) for row, one in zip(rows, styles, strict=True)
    ]


def _fitting(unit: UnitStatus, most: int | None) -> str:
    text = details(unit)
    if most is None or len(text) <= most:
        return text
    return cut(details(unit.replace(reason=unit.in_short)), most)


def details(unit: UnitStatus) -> str:
    """The details of a unit: pid, uptime, restarts and reason."""
    parts = []
    if unit.pid is not None:
        parts.append(f"pid {unit.pid}")
    if unit.uptime_s is not None:
        parts.append(f"uptime {age(unit.uptime_s)}")
    if unit.restarts:
        parts.append(f"restarts {unit.restarts}")
    if unit.reason:
        parts.append(printable(unit.reason))
    return ", ".join(parts)


def cut(text: str, width: int) -> str:
    """The text cut to ``width`` characters; an ellipsis marks a cut."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _line(
    row: tuple[str, PublicState, str, str], widths: list[int], colour: PublicState | None
) -> str:
    name, state, text, node = row
    shown = state.ljust(widths[1])
    shown = painted(colour, shown) if colour else shown
    return f"{name:{widths[0]}}  {shown}  {text:{widths[2]}}  {node}".rstrip()


def style(unit: UnitStatus) -> PublicState:
    """The state whose colour a unit is shown in: one that is RUNNING is green once it is ready."""
    unready = unit.state is PublicState.RUNNING and not unit.ready
    return PublicState.STARTING if unready else unit.state


def painted(state: PublicState, text: str) -> str:
    """``text`` in the colour of a state, for a terminal."""
    return f"\x1b[{_COLOURS[state]}m{text}\x1b[0m"
