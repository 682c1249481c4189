"""Lists runs, one line each: state, name, start, directory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pdsup.printable import printable
from pdsup.times import age, day_and_time


class RunState(StrEnum):
    """Whether a run goes on, as far as that can be told on this machine."""

    ACTIVE = "active"  # an agent answers
    ENDED = "ended"  # its agents have ended in order
    KILLED = "killed"  # its agents here were killed
    ELSEWHERE = "elsewhere"  # its agents are on other machines, or were killed there


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run. ``began`` and ``last``: when it started and its last news, in seconds since the
    epoch; null if it has none. ``ready``: how many of its units are, by kind. ``url``: for clients.
    """

    name: str
    run_dir: str
    state: RunState
    began: float | None
    last: float | None = None
    ready: str | None = None
    url: str | None = None


def lines(runs: Sequence[RunLine], now: float) -> list[str]:
    """The runs in aligned columns; ``now``: seconds since the epoch."""
    rows = [_row(one, now) for one in runs]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _row(run: RunLine, now: float) -> tuple[str, ...]:
    began = "not started" if run.began is None else f"started {day_and_time(run.began)}"
    more = ", ".join(part for part in (run.ready, run.url) if part)
    if run.state is not RunState.ACTIVE and run.last is not None:
        what = "ended" if run.state is RunState.ENDED else "last news"
        more = f"{what} {age(now - run.last)} ago"
    return (printable(run.name), run.state, began, printable(run.run_dir), more)
