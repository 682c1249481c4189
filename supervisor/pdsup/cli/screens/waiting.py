"""Shows how a wait gets on, on stderr: bars on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pdsup import clock
from pdsup.answers.status import UnitStatus
from pdsup.cli.screens import progress
from pdsup.cli.terminal import fit
from pdsup.cli.terminal.say import say

# How often a wait in which nothing changes says that it still waits.
REMIND_S = 30.0


class WaitView(Protocol):
    """Shows where a wait stands."""

    def show(self, units: Sequence[UnitStatus], missing: Sequence[str]) -> None:
        """Called often. ``units``: all that are waited for, none while nothing is known;
        ``missing``: lines.
        """


class WaitLines:
    """Prints what changed, but not each second: a long wait is a few lines, not thousands."""

    def __init__(self, say: Callable[[str], None], reached: Callable[[UnitStatus], bool]) -> None:
        self._say = say
        self._reached = reached
        self._said: tuple[str, float] = ("", 0.0)

    def show(self, units: Sequence[UnitStatus], missing: Sequence[str]) -> None:
        """A line with what changed, and indented ones with what is missing."""
        now = clock.monotonic()
        text, at = self._said
        news = self._news(units)
        if news != text or now - at >= REMIND_S:
            self._said = (news, now)
            self._say("\n".join((news, *(f"  {line}" for line in missing))))

    def _news(self, units: Sequence[UnitStatus]) -> str:
        if not units:
            return "waiting"
        if self._reached is progress.is_up:
            return f"ready: {progress.summary(units)}"
        return f"still up: {sum(not self._reached(unit) for unit in units)}"


@contextlib.contextmanager
def on_stderr(reached: Callable[[UnitStatus], bool]) -> Iterator[WaitView]:
    """The view that suits where stderr goes."""
    if fit.can_paint(sys.stderr) and reached is progress.is_up:
        with bars() as view:
            yield view
    else:
        yield WaitLines(say, reached)


@contextlib.contextmanager
def bars() -> Iterator[WaitView]:
    """Bars on the terminal that stderr is."""
    from pdsup.cli.screens import watch  # late: only people see bars
    from pdsup.cli.terminal.paint import Screen

    class WaitBars:
        def show(self, units: Sequence[UnitStatus], missing: Sequence[str]) -> None:
            painter.paint(watch.bars(units, missing, painter.size.width))

    with Screen(sys.stderr, whole=False) as painter:
        yield WaitBars()
