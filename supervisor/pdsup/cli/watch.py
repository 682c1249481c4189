"""Follows the status of a cluster, and shows it: ``pdsup status --watch``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pdsup import clock
from pdsup.cli import client
from pdsup.cli.screens import progress, watch
from pdsup.cli.screens.status import table
from pdsup.cli.terminal.paint import Screen
from pdsup.errors import NothingThere

# Ages on the screen are at most this old; a change is shown at once, but not more often than that.
TICK_S = 1.0
LEAST_S = 0.1


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen: the chosen part of the status, None without an agent; is it another one?"""

    status: dict[str, Any] | None
    new: bool


class StatusWatch:
    """The units that ``patterns`` name, of the nodes of this machine or of ``every`` one."""

    def __init__(self, run_dir: str | None, patterns: Sequence[str], *, every: bool) -> None:
        self._run_dir = run_dir
        self._patterns = patterns
        self._every = every
        self._version = ""
        self._status: dict[str, Any] | None = None

    def looks(self) -> Iterator[Look]:
        """One for each change, and one each second without; for ever."""
        # Nobody there at the beginning is a mistake, later it is not.
        client.cluster(self._run_dir, "show the status")
        while True:
            began = clock.monotonic()
            try:
                yield self._look()
            except NothingThere as error:
                if self._status is None:
                    raise error
                self._version = ""
                yield Look(None, new=True)
                time.sleep(TICK_S)
            time.sleep(max(0.0, began + LEAST_S - clock.monotonic()))

    def _look(self) -> Look:
        cluster = client.cluster(self._run_dir)
        query = f"/v1/status?all=1&since={self._version}&wait={TICK_S if self._version else 0}"
        answer = client.ask(client.first_agent(cluster), query, wait=TICK_S)
        if answer.value is None:
            return Look(self._status, new=False)
        here = cluster.sockets.keys() | cluster.silent
        nodes = [n for n in answer.value["nodes"] if self._every or n["node"] in here]
        shown, unnamed = progress.chosen({**answer.value, "nodes": nodes}, self._patterns)
        if unnamed:
            raise NothingThere(progress.no_such("show", unnamed, answer.value))
        self._version, self._status = answer.version or "", shown
        return Look(shown, new=True)


def paint(follower: StatusWatch) -> None:
    """The live view on the terminal that stdout is, until Ctrl-C."""
    last: dict[str, Any] | None = None
    with Screen(sys.stdout, whole=True) as painter:
        for look in follower.looks():
            last = look.status or last
            note = "Ctrl-C ends" if look.status else "no agent answers; this was the last"
            if last is not None:
                painter.paint(watch.screen(last, clock.wall(), painter.size, note))


def list_changes(follower: StatusWatch, *, as_json: bool) -> None:
    """The table again after each change, or one JSON value a line, for a pipe or a file."""
    for look in follower.looks():
        if look.new and look.status is not None:
            nodes = look.status["nodes"]
            print(
                json.dumps(look.status) if as_json else "\n".join([*table(nodes), ""]), flush=True
            )
