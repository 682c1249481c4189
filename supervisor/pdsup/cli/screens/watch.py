"""The live view of a cluster: a summary, then its units, what needs attention first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pdsup.answers.status import Status, UnitStatus
from pdsup.cli.screens import progress
from pdsup.cli.screens.status import cut, style
from pdsup.cli.terminal.lines import Line, Size, Span
from pdsup.times import age
from pdsup.units.public_state import PublicState

HEAD = ("UNIT", "STATE", "FOR", "PID", "RESTARTS", "NODE", "WHY")
# A column is dropped on terminals narrower than this; the reason matters most and is kept.
NEEDS_WIDTH = {"PID": 100, "RESTARTS": 60, "NODE": 50}
LEAST_REASON = 12
# A terminal with fewer lines has none to spare for an empty line.
LOW = 16
LEAST_ROWS = 4


def screen(
    status: Status, now: float, size: Size, note: str = "", selected: str | None = None
) -> list[Line]:
    """The view in at most ``size.height`` lines. ``now``: seconds since the epoch; ``selected``:
    the unit that is marked, which is always among the lines.
    """
    units = in_order(status.units)
    above = _above(status, units, now, size, note)
    room = max(1, size.height - len(above) - 1)
    room = room if len(units) <= room else max(1, room - 1)
    at = next((i for i, unit in enumerate(units) if unit.name == selected), 0)
    first = max(0, at - room + 1)
    shown = units[first : first + room]
    lines = [*above, *_table(shown, now, size, selected)]
    if rest := [*units[:first], *units[first + room :]]:
        lines.append(((_rest(rest), "faint"),))
    return [cropped(line, size.width) for line in lines[: size.height]]


def in_order(units: Iterable[UnitStatus]) -> list[UnitStatus]:
    """The units from top to bottom: what needs attention first."""
    return sorted(units, key=progress.rank)


def _above(
    status: Status, units: Sequence[UnitStatus], now: float, size: Size, note: str
) -> list[Line]:
    """The summary: three lines, folded if they are too wide and the terminal is high enough."""
    counts: list[Span] = [(part, "") for part in f"ready: {progress.summary(units)}".split(", ")]
    three = [(_title(status, note), "  "), (counts, ", "), (_facts(units, now), " | ")]
    folded = [line for parts, mark in three for line in _folded(parts, mark, size.width)]
    if len(folded) > size.height - LEAST_ROWS:
        folded = [_joined(parts, mark) for parts, mark in three]
    return [*folded, ()] if size.height >= LOW else folded


def _folded(parts: Sequence[Span], mark: str, width: int) -> list[Line]:
    """Parts joined into lines of at most ``width`` characters, unless a part is longer."""
    lines: list[list[Span]] = []
    for part in parts:
        if lines and len(text(_joined([*lines[-1], part], mark))) <= width:
            lines[-1].append(part)
        else:
            lines.append([part])
    return [_joined(line, mark) for line in lines]


def _joined(parts: Sequence[Span], mark: str) -> Line:
    line: list[Span] = []
    for part in parts:
        line += [(mark, "faint"), part] if line else [part]
    return tuple(line)


def _title(status: Status, note: str) -> list[Span]:
    nodes = status.nodes
    lost = [node.node for node in nodes if not node.agent.reachable]
    missing = f", no answer from {', '.join(lost)}" if lost else ""
    count = f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}{missing}"
    told = [(status.url or "", ""), (count, ""), (note, "faint")]
    return [(status.cluster, "strong"), *(part for part in told if part[0])]


def _facts(units: Sequence[UnitStatus], now: float) -> list[Span]:
    parts: list[Span] = [(f"restarts {sum(unit.restarts for unit in units)}", "")]
    if front := _front(units):
        parts.insert(0, (front, ""))
    troubled = [(unit.since, unit) for unit in units if unit.state.needs_attention and unit.since]
    if troubled:
        since, unit = min(troubled, key=lambda pair: pair[0])
        lasted = age(now - since)
        parts.append((f"oldest problem {unit.name} {unit.state} {lasted}", unit.state))
    return parts


def _front(units: Sequence[UnitStatus]) -> str:
    """How many routers nginx lists; a ready nginx lists exactly those that are RUNNING."""
    nginx = [unit for unit in units if unit.kind == "nginx"]
    routers = [unit for unit in units if unit.kind == "router"]
    if not nginx or not routers:
        return ""
    running = sum(unit.state is PublicState.RUNNING for unit in routers)
    known = any(unit.ready for unit in nginx) or not running
    listed = f"{running}/{len(routers)}" if known else "changing"
    return f"routers in nginx {listed}"


def _table(units: Sequence[UnitStatus], now: float, size: Size, selected: str | None) -> list[Line]:
    kept = [i for i, name in enumerate(HEAD) if size.width >= NEEDS_WIDTH.get(name, 0)]
    rows = [_row(unit, now) for unit in units]
    columns = [[row[i] for row in (HEAD, *rows)] for i in kept]
    widths = [max(map(len, column)) for column in columns[:-1]]
    widths[0] = max(len(HEAD[0]), min(widths[0], size.width - sum(widths[1:]) - LEAST_REASON))
    found: list[Line] = []
    for number, cells in enumerate(zip(*columns, strict=True)):
        state = style(units[number - 1]) if number else "faint"
        name = "selected" if number and units[number - 1].name == selected else ""
        styles = [state if i == 1 or not number else name * (i == 0) for i in kept]
        padded = [f"{cut(cell, w):{w}}  " for cell, w in zip(cells, widths, strict=False)]
        found.append(tuple(zip((*padded, cells[-1]), styles, strict=True)))
    return found


def _row(unit: UnitStatus, now: float) -> tuple[str, ...]:
    return (
        unit.name,
        unit.state,
        age(now - unit.since) if unit.since else "",
        "" if unit.pid is None else str(unit.pid),
        str(unit.restarts or ""),
        unit.node,
        unit.in_short,
    )


def _rest(units: Iterable[UnitStatus]) -> str:
    counts: dict[PublicState, int] = {}
    for unit in units:
        counts[unit.state] = counts.get(unit.state, 0) + 1
    return "and " + ", ".join(f"{count} more {state}" for state, count in counts.items())


def cropped(line: Line, width: int) -> Line:
    """The line cut to ``width`` characters."""
    if sum(len(text) for text, _ in line) <= width:
        return line
    found: list[Span] = []
    left = width - 1
    for text, look in line:
        found.append((text[:left], look))
        left -= len(text[:left])
    return (*found, ("…", ""))


# -- progress -------------------------------------------------------------------------------------

BAR = 30


def bars(units: Sequence[UnitStatus], missing: Sequence[str], width: int) -> list[Line]:
    """A bar for each role, and below them what is missing."""
    counts = progress.ready_counts(units)
    widest = max((len(kind) for kind in counts), default=0)
    length = max(4, min(BAR, width - widest - 12))
    lines: list[Line] = []
    for kind, (ready, wanted) in counts.items():
        full = length * ready // wanted
        colour = PublicState.RUNNING if ready == wanted else PublicState.STARTING
        lines.append(
            (
                (f"{kind:{widest}}  ", ""),
                ("█" * full, colour),
                ("░" * (length - full), "faint"),
                (f"  {ready}/{wanted}", ""),
            )
        )
    return [cropped(line, width) for line in [*lines, *(((f"  {one}", ""),) for one in missing)]]


def text(line: Line) -> str:
    """A line without its styles."""
    return "".join(piece for piece, _ in line).rstrip()
