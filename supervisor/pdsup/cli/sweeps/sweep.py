"""Measures the points of a sweep one after another, and again what a fault spoiled.

Results are written after every measurement: a job may end at any moment, and the next one continues
from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pdsup import __version__, clock, typed
from pdsup.answers.status import Status
from pdsup.cli.benchmark import BenchmarkRun
from pdsup.cli.benchmark_rules import Benchmark
from pdsup.cli.results import results, results_rules
from pdsup.cli.results.results_rules import Attempt, Results
from pdsup.cli.sweeps import canary, sweep_rules
from pdsup.cli.terminal.say import say
from pdsup.errors import SupervisorError
from pdsup.files import read_regular
from pdsup.node.paths import PLAN_FILE
from pdsup.plan.masks import BY_FORM
from pdsup.times import age

TOO_LATE = "the time is over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to measure. ``command``: with ``{}`` where the point belongs. ``repeats``: how often a
    spoiled point is measured again at most. ``most_failed``: the share of requests that may fail.
    ``until``: when the time is over, in seconds since the epoch. ``resume``: take over what is
    clean already. ``canary``: ask for a generation before the first point and after a fault.
    """

    points: tuple[str, ...]
    command: tuple[str, ...]
    repeats: int
    most_failed: float
    until: float | None = None
    resume: bool = False
    canary: bool = True


class Sweep:
    """A sweep on the cluster of a run directory, which must be ready.

    ``whole_again`` waits until it is ready again, and returns why that is in vain, else "".
    """

    def __init__(
        self, run_dir: Path, status: Status, order: Order, whole_again: Callable[[], str]
    ) -> None:
        self._run_dir = run_dir
        self._order = order
        self._whole_again = whole_again
        self._url = status.url or ""
        self._workers = any(unit.kind == "worker" for unit in status.units)
        self._gpus = len({(unit.node, gpu) for unit in status.units for gpu in unit.gpus})
        before = results.read(run_dir) or Results()
        self._results = replace(
            before,
            cluster=status.cluster,
            alike=likeness(run_dir, status),
            points=tuple(dict.fromkeys((*before.points, *order.points))),
        )
        self._number = 1 + max((one.sweep for one in before.attempts), default=0)
        self._why = ""
        self._generates = False

    def run(self, *, stdout: int | None = None) -> list[Attempt]:
        """Measures all points, as far as that is possible; returns a row for each of them."""
        if self._order.resume:
            self._resume()
        while point := self._next():
            self._measure(point, stdout)
        return results_rules.rows(self._order.points, self._own, self._why)

    @property
    def _shown(self) -> tuple[str, ...]:
        """The command as it is recorded, without secrets."""
        return BY_FORM.command(self._order.command)

    @property
    def _own(self) -> list[Attempt]:
        return [one for one in self._results.attempts if one.sweep == self._number]

    def _next(self) -> str | None:
        """The point to measure now; None at the end, and then ``_why`` says why it came early."""
        point = sweep_rules.next_point(self._order.points, self._own, self._order.repeats)
        if point is None or self._why:
            return None
        self._why = self._obstacle(point)
        if self._why:
            say(f"no more points: {self._why}")
        return None if self._why else point

    def _obstacle(self, point: str) -> str:
        """Why a point can't be measured, once the cluster is ready or will not be; else ""."""
        if not self._fits(point):
            return TOO_LATE
        if not self._generates and (why := self._whole_again() or self._canary()):
            return why
        self._generates = True
        return "" if self._fits(point) else TOO_LATE

    def _fits(self, point: str) -> bool:
        return sweep_rules.fits(self._own, point, clock.wall(), self._order.until)

    def _canary(self) -> str:
        asks = self._order.canary and self._workers and self._url
        return canary.waited(self._url, self._is_late) if asks else ""

    def _is_late(self) -> bool:
        return self._order.until is not None and clock.wall() >= self._order.until

    def _resume(self) -> None:
        """Takes in what is clean already, in this run and in the last one of the same plan."""
        points, command, before = self._order.points, self._shown, self._results.attempts
        own = results_rules.resumed(points, before, command)
        missing = set(points) - {one.point for one in own}
        earlier = results.earlier(self._run_dir, self._results.alike, command)
        others = [one for one in earlier if one.point in missing]
        clean = [replace(one, sweep=self._number) for one in (*own, *others)]
        rest = tuple(one for one in before if one not in own)
        self._results = replace(self._results, attempts=rest)
        self._add(*clean)
        which = ", ".join(one.point for one in clean)
        say(f"clean already: {which}" if clean else "no point is clean already: all are measured")

    def _add(self, *attempts: Attempt) -> None:
        every = (*self._results.attempts, *attempts)
        self._results = replace(self._results, attempts=every)
        try:
            results.write(self._run_dir, self._results)
        except OSError as error:
            where = self._run_dir / results.FOLDER
            say(f"pdsup: cannot write the results to {where}: {error.strerror}")

    def _measure(self, point: str, stdout: int | None) -> None:
        order = self._order
        known = (one.attempt for one in self._results.attempts if one.point == point)
        number, directory = results.place(self._run_dir, point, 1 + max(known, default=0))
        place = order.points.index(point) + 1
        again = f", attempt {number}" if number > 1 else ""
        rest = sweep_rules.left(order.points, self._own)
        time = "" if rest is None else f", about {age(rest)} left"
        say(f"point {point} ({place} of {len(order.points)}){again}{time}: results in {directory}")

        def taken_in(benchmark: Benchmark) -> dict[str, Any]:
            found = results.measured(directory)
            verdict, why = sweep_rules.judged(benchmark, found, order.most_failed)
            self._add(
                Attempt(
                    point=point,
                    verdict=verdict,
                    attempt=number,
                    sweep=self._number,
                    why=why,
                    metrics=found,
                    gpus=self._gpus,
                    command=self._shown,
                    directory=str(directory.relative_to(self._run_dir)),
                    version=__version__,
                    **sweep_rules.row_of(benchmark),
                )
            )
            say(f"point {point}: {verdict}{f': {why}' if why else ''}")
            self._generates = verdict == "clean"
            if benchmark.passed_on:
                self._why = f"{' and '.join(benchmark.passed_on)} came"
            rows = results_rules.rows(order.points, self._own, "")
            return {"point": point, "attempt": number, "points": json.loads(typed.dumps(rows))}

        environ = {
            "PDSUP_POINT": point,
            "PDSUP_ATTEMPT": str(number),
            "PDSUP_RESULTS": str(directory),
        }
        command = sweep_rules.filled(order.command, point, str(directory), self._url)
        BenchmarkRun(self._run_dir).run(command, environ, stdout=stdout, more=taken_in)


def likeness(run_dir: Path, status: Status) -> str:
    """A digest of a run's plan that is the same on whichever nodes it runs. Raises SupervisorError
    if the plan is unreadable.
    """
    path = run_dir / PLAN_FILE
    try:
        text = read_regular(path)
    except OSError as error:
        raise SupervisorError(f"cannot read {path}: {error.strerror}") from None
    names: dict[str, str] = {}
    for number, node in enumerate(status.nodes):
        names |= {node.address: f"address-{number}", node.node: f"node-{number}"}
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name.encode(), f"<{names[name]}>".encode())
    return hashlib.sha256(text).hexdigest()
