"""Decides which point of a sweep is measured next, and what each measurement is worth.

A point is one run of the benchmark's command, such as one concurrency. What a fault spoiled is
measured again, right away, so that the points are in their order also in time; what failed without
a fault would fail again and is not. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pdsup.cli import benchmark_rules
from pdsup.cli.benchmark_rules import Benchmark
from pdsup.cli.results.metrics import Metrics
from pdsup.cli.results.results_rules import Attempt, Verdict, counted
from pdsup.errors import WrongUsage
from pdsup.journal import incidents

RESULTS, URL = "results", "url"
_PLACE = re.compile(r"\{(results|url|\*(\d{1,9}))?\}")
# A point names a directory.
_POINT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,63}")
MOST_POINTS = 1000


def parsed(text: str) -> tuple[str, ...]:
    """The points of ``1,8,64``, or of ``1x8x64`` as recipes write it. Raises WrongUsage."""
    parts = text.split("x") if re.fullmatch(r"\d+(x\d+)+", text) else text.split(",")
    points = tuple(part.strip() for part in parts)
    problem = _problem(points)
    if problem:
        raise WrongUsage(f"run: --points {text[:80]}: {problem}")
    return points


def _problem(points: Sequence[str]) -> str:
    for point in points:
        if not _POINT.fullmatch(point):
            return (
                f"{point[:80]!r} is no point: give words of letters, digits and _ . + = -, "
                "separated by commas, such as 1,8,64"
            )
    doubles = [point for number, point in enumerate(points) if point in points[:number]]
    if doubles:
        return f"{doubles[0]} is there twice"
    return f"at most {MOST_POINTS} points" if len(points) > MOST_POINTS else ""


def filled(command: Sequence[str], point: str, results: str, url: str) -> list[str]:
    """The command of a point: ``{}`` is replaced by it, ``{*10}`` by ten times it, ``{results}``
    and ``{url}`` by these.
    """

    def meant(place: re.Match[str]) -> str:
        if place[1] in (RESULTS, URL):
            return results if place[1] == RESULTS else url
        return str(int(place[2]) * int(point)) if place[2] else point

    return [_PLACE.sub(meant, word) for word in command]


def check(points: Sequence[str], command: Sequence[str]) -> None:
    """Raises WrongUsage if the command multiplies a point that is no number."""
    places = [place[0] for word in command for place in _PLACE.finditer(word) if place[2]]
    words = [point for point in points if not point.isdecimal()]
    if places and words:
        raise WrongUsage(f"run: {places[0]} in COMMAND takes whole numbers, not point {words[0]}")


def judged(benchmark: Benchmark, found: Metrics | None, most_failed: float) -> tuple[Verdict, str]:
    """What a measurement is worth, and why it is not clean.

    ``most_failed``: the share of the requests, 0 to 1, that may fail.
    """
    if benchmark.incidents:
        first, *rest = benchmark_rules.incident_lines(benchmark)
        return "tainted", first + (f" (and {len(rest)} more)" if rest else "")
    if benchmark.status:
        by = f" after {' and '.join(benchmark.passed_on)}" if benchmark.passed_on else ""
        return "failed", f"the command ended with {benchmark.status}{by}"
    if found is not None and found.is_empty:
        what = "no request was answered" if not found.requests else "no token came"
        return "failed", f"the command ended with 0, but {what}"
    if found is not None and found.failed_share > most_failed:
        total = (found.failed or 0) + (found.requests or 0)
        return "failed", f"{found.failed} of {total} requests failed"
    return "clean", ""


def next_point(points: Sequence[str], attempts: Sequence[Attempt], repeats: int) -> str | None:
    """The point that is measured next; None if all is done.

    ``attempts``: those of this sweep. ``repeats``: how often a point is measured again at most.
    """
    for point in points:
        own = [one for one in attempts if one.point == point]
        best = counted(own, point)
        if best is None or (best.verdict == "tainted" and len(own) <= repeats):
            return point
    return None


def fits(attempts: Sequence[Attempt], point: str, now: float, until: float | None) -> bool:
    """Whether a point can be measured before ``until``, as far as its earlier attempts tell."""
    took = max((one.seconds or 0.0 for one in attempts if one.point == point), default=0.0)
    return until is None or now + took < until


def left(points: Sequence[str], attempts: Sequence[Attempt]) -> float | None:
    """How many seconds the points that are left take, as far as those before tell."""
    known = [one.seconds for one in attempts if one.seconds is not None]
    done = {one.point for one in attempts if one.verdict in ("clean", "failed")}
    return sum(known) / len(known) * len(set(points) - done) if known else None


def row_of(benchmark: Benchmark) -> dict[str, Any]:
    """The fields of an attempt that its benchmark tells."""
    return {
        "began": benchmark.began,
        "ended": benchmark.ended,
        "seconds": round(benchmark.ended - benchmark.began, 3),
        "status": benchmark.status,
        "plan": benchmark.plan,
        "incidents": tuple(incidents.to_json(one) for one in benchmark.incidents),
    }
