"""Reads single keys from a terminal, without Enter and without showing them."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any

from pdsup.cli.terminal.keys import Key, parsed

# The rest of an escape sequence follows at once; the Escape key sends its first byte alone.
SEQUENCE_S = 0.05


class Keyboard:
    """The keys that are pressed on stdin inside ``with``, which restores the terminal afterwards.

    Without a terminal in the foreground there are none, and nothing is changed.
    """

    def __init__(self) -> None:
        self._input = sys.stdin.fileno() if _is_ours() else None
        self._before: list[Any] = []

    def __enter__(self) -> Keyboard:
        if self._input is not None:
            self._before = termios.tcgetattr(self._input)
            tty.setcbreak(self._input)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._input is not None:
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)

    @property
    def sources(self) -> list[int]:
        """The descriptor that is readable once a key was pressed; empty without a terminal."""
        return [] if self._input is None else [self._input]

    def pressed(self) -> list[Key]:
        """The known keys that were pressed; Key.QUIT if the terminal is gone."""
        if self._input is None:
            return []
        data = _read(self._input)
        if data.endswith(b"\x1b") and select.select([self._input], [], [], SEQUENCE_S)[0]:
            data += _read(self._input)
        return list(parsed(data)) if data else [Key.QUIT]


def _is_ours() -> bool:
    try:
        terminal = sys.stdin.fileno()
        return os.isatty(terminal) and os.tcgetpgrp(terminal) == os.getpgrp()
    except (OSError, ValueError, AttributeError):  # closed, or none of this session
        return False


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 10)
    except OSError:  # hung up
        return b""
