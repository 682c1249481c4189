"""Repaints lines on a terminal without flicker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pdsup.cli.terminal.lines import Line, Size
from pdsup.units.public_state import PublicState

STYLES: Mapping[str, str] = {
    PublicState.RUNNING: "green",
    PublicState.EXITED: "green",
    PublicState.STOPPED: "dim",
    PublicState.FATAL: "bold red",
    PublicState.UNKNOWN: "red",
    PublicState.UNHEALTHY: "red",
    PublicState.BACKOFF: "yellow",
    PublicState.WAITING: "cyan",
    PublicState.STARTING: "cyan",
    PublicState.STOPPING: "yellow",
    "strong": "bold",
    "faint": "dim",
    "selected": "reverse",
}


class Screen:
    """A part of a terminal, or with ``whole`` all of it, that can be repainted inside ``with``.

    At the end a part is cleared; the whole restores what was on the terminal before.
    """

    def __init__(self, stream: TextIO, *, whole: bool) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=False)
        self._live = Live(
            console=self._console,
            screen=whole,
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    @property
    def size(self) -> Size:
        """The size of the terminal now."""
        width, height = self._console.size
        return Size(width, height)

    def paint(self, lines: Sequence[Line]) -> None:
        """Replaces the lines shown."""
        text = Text(no_wrap=True, overflow="crop", end="")
        for number, line in enumerate(lines):
            text.append("\n" if number else "")
            for piece, style in line:
                text.append(piece, STYLES.get(style, ""))
        self._live.update(text, refresh=True)
