"""The live view on a terminal: repaints at each change and each key."""

from __future__ import annotations

import os
import queue
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from pdsup import clock
from pdsup.answers.status import Status
from pdsup.cli import client
from pdsup.cli.client import Look
from pdsup.cli.explain import investigate
from pdsup.cli.live.view import Shows, View, page, pressed
from pdsup.cli.screens import watch
from pdsup.cli.screens.explain import Findings, story
from pdsup.cli.terminal.keyboard import Keyboard
from pdsup.cli.terminal.keys import Key
from pdsup.cli.terminal.lines import Line, Size
from pdsup.cli.terminal.paint import Screen
from pdsup.errors import SupervisorError
from pdsup.printable import printable
from pdsup.units.logs import last, split


def show(looks: Iterator[Look], run_dir: str | None) -> None:
    """Shows the looks at a cluster on the terminal that stdout is, until ``q`` or Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    first = next(looks)  # an error now is told on the terminal as it was
    feed = _Feed(looks)
    with Keyboard() as keys, Screen(sys.stdout, whole=True) as screen:
        live = _Live(run_dir, first, has_keys=bool(keys.sources))
        while True:
            screen.paint(live.lines(screen.size))
            ready, _, _ = select.select([feed.bell, *keys.sources], [], [])
            if feed.bell in ready:
                live.take(feed.newest())
            if set(ready) & set(keys.sources):
                for key in keys.pressed():
                    if not live.press(key):
                        return


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Feed:
    """Takes looks in a thread, as keys must be heard meanwhile; ``bell`` is readable then."""

    def __init__(self, looks: Iterator[Look]) -> None:
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._looks: queue.SimpleQueue[Look | Exception] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(looks,), daemon=True, name="looks").start()

    def _run(self, looks: Iterator[Look]) -> None:
        try:
            for look in looks:
                self._put(look)
        except Exception as error:  # the main thread raises it
            self._put(error)

    def _put(self, news: Look | Exception) -> None:
        self._looks.put(news)
        os.eventfd_write(self.bell, 1)

    def newest(self) -> Look:
        """The last of the looks; raises the error that ended them."""
        os.eventfd_read(self.bell)
        found = self._looks.get()
        while not self._looks.empty() and not isinstance(found, Exception):
            found = self._looks.get()
        if isinstance(found, Exception):
            raise found
        return found


class _Live:
    """What is shown now."""

    def __init__(self, run_dir: str | None, look: Look, *, has_keys: bool) -> None:
        self._run_dir = run_dir
        self._look = look
        self._view = View()
        self._hint = "enter explains, l logs, q quits" if has_keys else "Ctrl-C ends"
        self._found: Findings | str | None = None

    @property
    def _status(self) -> Status:
        if self._look.status is None:
            raise AssertionError("a look without a status was to be an error")
        return self._look.status

    def take(self, look: Look) -> None:
        """Takes in a look; an explanation is asked for again when something has changed."""
        self._look = look
        if look.new:
            self._found = None

    def press(self, key: Key) -> bool:
        """Takes in a key; False to quit."""
        names = [unit.name for unit in watch.in_order(self._status.units)]
        view = pressed(self._view, key, names)
        if view is None:
            return False
        if view.shows is not self._view.shows:
            self._found = None
        self._view = view
        return True

    def lines(self, size: Size) -> list[Line]:
        """The screen."""
        match self._view.shows:
            case Shows.UNITS:
                absent = "no agent answers; this is the last known state"
                note = absent if self._look.absent else self._hint
                now, selected = clock.wall(), self._view.selected
                return watch.screen(self._status, now, size, note, selected)
            case Shows.EXPLANATION:
                text = self._explanation(size.width)
            case Shows.LOGS:
                text = self._log(size.height)
        return page(self._view, text, size)

    def _explanation(self, width: int) -> list[str]:
        if self._found is None:
            self._found = self._investigate()
        if isinstance(self._found, str):
            return [self._found]
        return story(self._found, clock.wall(), width)

    def _investigate(self) -> Findings | str:
        try:
            return investigate(
                client.cluster(self._run_dir, returns_in=0.0), self._view.selected or ""
            )
        except SupervisorError as error:
            return str(error)

    def _log(self, count: int) -> list[str]:
        try:
            log = client.log_file(
                client.cluster(self._run_dir, returns_in=0.0), self._view.selected or ""
            )
        except SupervisorError as error:
            return [str(error)]
        lines = last.last_lines(log.path, count, split.noise(log.noise))
        return [printable(line) for line in lines]
