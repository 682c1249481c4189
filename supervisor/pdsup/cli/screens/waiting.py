"""Shows the progress of a wait on stderr: bars on a terminal, else a line for each change."""

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

# How long a command may be silent before it says what it waits for; each time twice as long, up to
# REMIND_S.
SILENCE_S, REMIND_S = 8.0, 30.0


class Silence:
    """Says what a command waits for whenever it has printed nothing for a while."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.end()

    def end(self) -> None:
        """Takes in that the command has just printed something."""
        self._since, self._within = clock.monotonic(), SILENCE_S

    def explain(self, lines: Sequence[str]) -> None:
        """Called often while the command waits; ``lines``: what for."""
        now = clock.monotonic()
        if lines and now - self._since >= self._within:
            self._say("\n".join(("waiting for", *(f"  {line}" for line in lines))))
            self._since, self._within = now, min(REMIND_S, self._within * 2)


class WaitView(Protocol):
    """Shows the progress of a wait."""

    def show(self, units: Sequence[UnitStatus], missing: Sequence[str]) -> None:
        """Called often. ``units``: all that are waited for, empty until a status is known;
        ``missing``: lines about what is missing.
        """


class WaitLines:
    """Prints changes, not every second: a long wait makes a few lines, not thousands."""

    def __init__(self, say: Callable[[str], None], reached: Callable[[UnitStatus], bool]) -> None:
        self._say = say
        self._reached = reached
        self._said = ""
        self._silence = Silence(say)

    def show(self, units: Sequence[UnitStatus], missing: Sequence[str]) -> None:
        """Prints the summary if it changed, with indented lines about what is missing; after a
        silence only these.
        """
        news = self._news(units)
        if news == self._said:
            self._silence.explain(missing)
            return
        self._said = news
        self._say("\n".join((news, *(f"  {line}" for line in missing))))
        self._silence.end()

    def _news(self, units: Sequence[UnitStatus]) -> str:
        if not units:
            return "waiting"
        if self._reached is progress.is_up:
            return f"ready: {progress.summary(units)}"
        return f"still up: {sum(not self._reached(unit) for unit in units)}"


@contextlib.contextmanager
def on_stderr(reached: Callable[[UnitStatus], bool]) -> Iterator[WaitView]:
    """The view that suits stderr: a terminal or not."""
    if fit.can_paint(sys.stderr) and reached is progress.is_up:
        with bars() as view:
            yield view
    else:
        yield WaitLines(say, reached)


@contextlib.contextmanager
def bars() -> Iterator[WaitView]:
    """Shows bars on stderr, which is a terminal."""
    from pdsup.cli.screens import watch  # late: only terminals show bars
    from pdsup.cli.terminal.paint import Screen

    class WaitBars:
        def show(self, units: Sequence[UnitStatus], missing: Sequence[str]) -> None:
            painter.paint(watch.bars(units, missing, painter.size.width))

    with Screen(sys.stderr, whole=False) as painter:
        yield WaitBars()
