"""Measures one supervisor in several kinds of runs, each with fresh units."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench import processes
from bench.peers.peer import Peer, timed
from bench.runner import Running, Stamp, running

GIB = 1 << 30
GOLDEN = 0.618  # its multiples are spread evenly over every period
# Some peers delay the restart of a unit that ran for less than a second.
SETTLED_S = 1.5
CRASHES_S = 12.0
ASKED = 4  # times ``rest_s``: 20 s
QUESTIONS, COMMANDS = 200, 10


class Measurer:
    """The measurements of one supervisor; ``samples`` holds them by kind (``figures.Figure.of``).

    ``few`` and ``many``: the number of units in most runs, and in the large start. ``rest_s``: how
    long idle units are measured.
    """

    def __init__(self, peer: Peer, few: int, many: int, rest_s: float) -> None:
        self.samples: defaultdict[str, list[float]] = defaultdict(list)
        self._peer = peer
        self._few = few
        self._many = many
        self._rest_s = rest_s

    def life(self) -> None:
        """Measures start, idling, queries, crashes and stop with few units."""
        with running(self._peer, self._few) as run:
            units = self._started(run, self._few, "start few")
            time.sleep(min(SETTLED_S, self._rest_s))
            self._rest(run, units)
            self._questions(run)
            units = self._crashes(run, units)
            time.sleep(min(SETTLED_S, self._rest_s))
            units = self._storm(run, units)
            time.sleep(min(SETTLED_S, self._rest_s))
            gone, all_gone = run.stop(units.values())
            self.samples["stop units"].append(gone)
            self.samples["stop all"].append(all_gone)

    def crowd(self) -> None:
        """Measures the start of many units."""
        with running(self._peer, self._many) as run:
            self._started(run, self._many, "start many")

    def probes(self) -> None:
        """Measures HTTP probes of few units, one a second each."""
        if (address := self._peer.asks_at) is None:
            return
        with running(self._peer, self._few, asks_at=address) as run:
            stamps = run.stamps(2 * self._few)  # each has started and was probed
            own = run.overseers([stamp.pid for stamp in stamps])
            time.sleep(SETTLED_S)
            self.samples["asking"].append(_use(own, ASKED * self._rest_s))

    def commands(self) -> None:
        """Measures commands with few units, on several nodes if the supervisor can."""
        peer = self._peer.spread()
        with running(peer, self._few) as run:
            run.stamps(self._few)
            time.sleep(min(SETTLED_S, self._rest_s))
            self.samples["status of all"] += timed(run.status, COMMANDS)
            for kind, words in peer.commands(run.home).items():
                self.samples[kind] += timed(partial(run.command, words), COMMANDS)

    def log(self, size: int, *, piped: bool) -> None:
        """Measures one unit that writes ``size`` bytes as fast as it can."""
        kind = "piped" if piped else "direct"
        with running(self._peer, 1, piped=piped, output=size) as run:
            (first,) = run.stamps(1)[:1]
            own = run.overseers([first.pid])
            before = processes.busy(own)
            begin, end = run.stamps(2)[:2]
            kept = _settled(lambda: _size(run.home / "run" / "logs"), size)
            self.samples[f"{kind} rate"].append(size / (end.at - begin.at))
            self.samples[f"{kind} cpu"].append((processes.busy(own) - before) / size * GIB)
            self.samples[f"{kind} loss"].append(max(0, size - kept))

    def _started(self, run: Running, count: int, kind: str) -> dict[str, int]:
        stamps = run.stamps(count)
        self.samples[kind].append(max(stamp.at for stamp in stamps) - run.began)
        return {stamp.unit: stamp.pid for stamp in stamps}

    def _rest(self, run: Running, units: dict[str, int]) -> None:
        own = run.overseers(units.values())
        self.samples["idle"].append(_use(own, self._rest_s))
        largest = max(own, key=processes.resident)
        self.samples["memory"].append(processes.resident(largest))
        self.samples["all memory"].append(processes.proportional(own))
        if len(own) == 2:  # a parent and its child, not many of a kind
            self.samples["parent memory"].append(processes.resident(run.daemon.pid))

    def _questions(self, run: Running) -> None:
        self.samples["status"] += timed(run.status, COMMANDS)
        self.samples["api"] += self._peer.ask(run.home, QUESTIONS)

    def _crashes(self, run: Running, units: dict[str, int]) -> dict[str, int]:
        """Kills one unit after another, each once, for a bounded time."""
        units = dict(units)
        seen = len(run.stamps(0))
        until, longest = time.monotonic() + CRASHES_S, 0.0
        for index, (name, pid) in enumerate(list(units.items())):
            if time.monotonic() > until:
                break
            begin = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            new = _only(run.stamps(seen + 1)[seen:], name)
            seen += 1
            units[name] = new.pid
            self.samples["crash"].append(new.at - begin)
            # Otherwise every crash would come just after a polling peer has polled.
            longest = max(longest, new.at - begin)
            time.sleep(0.01 + (index + 1) * GOLDEN % 1 * longest)
        return units

    def _storm(self, run: Running, units: dict[str, int]) -> dict[str, int]:
        seen = len(run.stamps(0))
        begin = time.monotonic()
        for pid in units.values():
            os.kill(pid, signal.SIGKILL)
        stamps = run.stamps(seen + len(units))[seen:]
        self.samples["storm"].append(max(stamp.at for stamp in stamps) - begin)
        return {stamp.unit: stamp.pid for stamp in stamps}


def _use(pids: Sequence[int], seconds: float) -> float:
    """The CPU that processes use for some seconds, in seconds per second."""
    before, begin = processes.busy(pids), time.monotonic()
    time.sleep(seconds)
    return (processes.busy(pids) - before) / (time.monotonic() - begin)


def _only(stamps: list[Stamp], name: str) -> Stamp:
    """The only new stamp, which must be that of the killed unit."""
    (stamp,) = stamps
    if stamp.unit != name:
        raise RuntimeError(f"{name} was killed, but {stamp.unit} started")
    return stamp


def _settled(size: Callable[[], int], wanted: int) -> int:
    """``size()`` once it is at least ``wanted``, or once it no longer grows."""
    found = -1
    while (now := size()) < wanted and now != found:
        found = now
        time.sleep(1.0)
    return now


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
