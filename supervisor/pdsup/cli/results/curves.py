"""Places the points of a sweep on the charts of a report, in the units of its drawings.

The first chart is the one that people compare: throughput per GPU against interactivity, the speed
at which one user gets tokens. The second shows latencies by point. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdsup.cli.results.results_rules import Attempt, per_gpu

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 14, 46
# About so many lines on an axis.
TICKS = 5
LATENCIES = {
    "TTFT p99": ("ttft_ms", "p99"),
    "TTFT p50": ("ttft_ms", "p50"),
    "TPOT p50": ("tpot_ms", "p50"),
}


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values to a length; ``start`` and ``end`` are the places of its ends in the drawing."""

    lowest: float
    highest: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high, value = (self._scaled(one) for one in (self.lowest, self.highest, value))
        share = (value - low) / (high - low or 1.0)
        return round(self.start + share * (self.end - self.start), 1)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self, name: str) -> list[dict[str, Any]]:
        values = _decades(self.lowest, self.highest) if self.logarithmic else _steps(self.highest)
        return [{name: self.at(value), "text": f"{value:,.10g}"} for value in values]


def charts(rows: Sequence[Attempt], attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """The charts of a sweep. ``rows``: the measurements that count, in the order of the points;
    ``attempts``: all of them.
    """
    return [one for one in (_throughput(rows, attempts), _latency(rows)) if one]


def interactivity(row: Attempt) -> float | None:
    """Tokens per second that the median user gets once the first has come."""
    gap = _value(row, "tpot_ms", "p50")
    return 1000 / gap if gap else None


def _throughput(rows: Sequence[Attempt], attempts: Sequence[Attempt]) -> dict[str, Any] | None:
    counted = [(row, *both) for row in rows if (both := _both(row))]
    spoiled = [(row, *both) for row in attempts if row not in rows and (both := _both(row))]
    if not counted:
        return None
    known = [*counted, *spoiled]
    across = _Axis(0.0, _round(max(x for _, x, _ in known)), LEFT, WIDTH - RIGHT)
    up = _Axis(0.0, _round(max(y for _, _, y in known)), HEIGHT - BOTTOM, TOP)

    def dot(row: Attempt, x: float, y: float) -> dict[str, Any]:
        title = f"{row.point}: {y:.4g} tokens/s per GPU, {x:.4g} tokens/s per user, {row.verdict}"
        faint = row.verdict != "clean"
        return {"x": across.at(x), "y": up.at(y), "label": "" if faint else row.point,
                "title": title, "faint": faint}  # fmt: skip

    clean = [one for one in counted if one[0].verdict == "clean"]
    dots = [*(dot(*one) for one in spoiled), *(dot(*one) for one in counted)]
    line = [f"{across.at(x)},{up.at(y)}" for _, x, y in sorted(clean, key=lambda one: one[1])]
    return _chart(
        "Throughput per GPU against interactivity; hollow: tainted or failed",
        "interactivity: tokens/s per user",
        "output tokens/s per GPU",
        across.ticks("x"),
        up.ticks("y"),
        [{"name": "", "line": " ".join(line), "dots": dots}],
    )


def _both(row: Attempt) -> tuple[float, float] | None:
    x, y = interactivity(row), per_gpu(row)
    return None if x is None or y is None else (x, y)


def _latency(rows: Sequence[Attempt]) -> dict[str, Any] | None:
    clean = [row for row in rows if row.verdict == "clean"]
    values = {
        name: [(number, value) for number, row in enumerate(clean) if (value := _value(row, *of))]
        for name, of in LATENCIES.items()
    }
    known = [value for series in values.values() for _, value in series]
    if not known:
        return None
    lowest = 10 ** math.floor(math.log10(min(known)))
    highest = 10 ** math.ceil(math.log10(max(known) * 1.001))
    across = _Axis(-0.5, len(clean) - 0.5, LEFT, WIDTH - RIGHT)
    up = _Axis(lowest, highest, HEIGHT - BOTTOM, TOP, logarithmic=True)
    series = []
    for name, known_values in values.items():
        dots = [
            {"x": across.at(number), "y": up.at(value), "label": "", "faint": False,
             "title": f"{clean[number].point}: {name} {value:.4g} ms"}
            for number, value in known_values
        ]  # fmt: skip
        line = " ".join(f"{dot['x']},{dot['y']}" for dot in dots)
        series += [{"name": name, "line": line, "dots": dots}] if dots else []
    ticks = [{"x": across.at(number), "text": row.point} for number, row in enumerate(clean)]
    title = "Latency by point, milliseconds"
    return _chart(title, "point", "milliseconds", ticks, up.ticks("y"), series)


def _value(row: Attempt, quantity: str, statistic: str) -> float | None:
    found = row.metrics
    if found is None:
        return None
    values: Mapping[str, float] = getattr(found, quantity)
    if not values and quantity == "tpot_ms":  # AIPerf has only one of them
        values = found.itl_ms
    value = values.get(statistic)
    return value if value is not None and value > 0 else None


def _chart(
    title: str,
    x_title: str,
    y_title: str,
    x_ticks: Sequence[Mapping[str, Any]],
    y_ticks: Sequence[Mapping[str, Any]],
    series: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    return {
        "title": title,
        "x_title": x_title,
        "y_title": y_title,
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
        "x_ticks": x_ticks,
        "y_ticks": y_ticks,
        "series": series,
    }


def _step(highest: float) -> float:
    rough = highest / TICKS
    power = math.pow(10, math.floor(math.log10(rough)))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)


def _round(highest: float) -> float:
    """The end of an axis from 0: the next tick after ``highest``."""
    step = _step(highest) if highest > 0 else 1.0
    return step * math.ceil(highest * 1.02 / step) if highest > 0 else 1.0


def _steps(highest: float) -> list[float]:
    step = _step(highest)
    return [step * number for number in range(round(highest / step) + 1)]


def _decades(lowest: float, highest: float) -> list[float]:
    first, last = round(math.log10(lowest)), round(math.log10(highest))
    return [10.0**power for power in range(first, last + 1)]
