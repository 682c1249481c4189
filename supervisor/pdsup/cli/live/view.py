"""What the live view shows, and how each key changes that. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import assert_never

from pdsup.cli.screens.watch import cropped
from pdsup.cli.terminal.keys import Key
from pdsup.cli.terminal.lines import Line, Size


class Shows(Enum):
    """The page of the live view."""

    UNITS = auto()
    EXPLANATION = auto()
    LOGS = auto()


@dataclass(frozen=True, slots=True)
class View:
    """The state of the live view: its page, the unit that is selected, and which line of an
    explanation is on top.
    """

    shows: Shows = Shows.UNITS
    selected: str | None = None
    top: int = 0


def pressed(view: View, key: Key, units: Sequence[str]) -> View | None:
    """The view after a key; None to quit. ``units``: as listed, from top to bottom."""
    match key:
        case Key.QUIT:
            return None
        case Key.BACK:
            return replace(view, shows=Shows.UNITS)
        case Key.UP | Key.DOWN:
            step = 1 if key is Key.DOWN else -1
            if view.shows is Shows.UNITS:
                return replace(view, selected=_beside(view.selected, step, units))
            return replace(view, top=max(0, view.top + step))
        case Key.ENTER | Key.LOGS:
            page = Shows.LOGS if key is Key.LOGS else Shows.EXPLANATION
            selected = view.selected if view.selected in units else next(iter(units), None)
            return View(page, selected) if selected else view
    assert_never(key)


def _beside(selected: str | None, step: int, units: Sequence[str]) -> str | None:
    """The unit above or below the selected one; the first one if none is."""
    if selected not in units:
        return next(iter(units), None)
    return units[min(len(units) - 1, max(0, units.index(selected) + step))]


def page(view: View, text: Sequence[str], size: Size) -> list[Line]:
    """An explanation from its line ``top`` on, or the end of a log, below a title."""
    room = max(1, size.height - 2)
    most = max(0, len(text) - room)
    first = most if view.shows is Shows.LOGS else min(view.top, most)
    what = "log" if view.shows is Shows.LOGS else "explanation"
    note = "arrows scroll, esc goes back"
    if view.shows is Shows.LOGS:
        note = "without lines about probes; esc goes back, q quits"
    title: Line = ((f"{view.selected}: {what}", "strong"), ("  ", ""), (note, "faint"))
    lines: list[Line] = [title, (), *(((line, ""),) for line in text[first : first + room])]
    return [cropped(line, size.width) for line in lines[: size.height]]
