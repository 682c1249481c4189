"""Formats the table of all figures and the missed goals. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bench.figures import FIGURES, Figure, Samples

OURS = "pdsup"


def table(samples: Mapping[str, Samples], **units: int) -> str:
    """The Markdown table: a row for each figure, a column for each supervisor, pdsup first.

    ``units``: the numbers of units, for the titles.
    """
    head = ["figure", "goal", *samples, f"{OURS} : best other"]
    rows = [_row(figure, samples, units) for figure in FIGURES]
    cells = [head, ["---"] + ["---:"] * (len(head) - 1), *(row for row in rows if any(row[2:]))]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    padded = ([cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def missed(samples: Samples, **units: int) -> list[str]:
    """Describes each goal that the samples of pdsup miss."""
    found = []
    for figure in FIGURES:
        value = figure.value(samples)
        if value is not None and figure.reached(value) is False:
            title = figure.title.format(**units)
            found.append(f"{title}: {_shown(value)} {figure.unit}; wanted {_goal(figure)}")
    return found


def _row(figure: Figure, samples: Mapping[str, Samples], units: Mapping[str, int]) -> list[str]:
    values = {name: figure.value(found) for name, found in samples.items()}
    title = ", ".join(filter(None, (figure.title.format(**units), figure.unit)))
    return [title, _goal(figure), *(_shown(v) for v in values.values()), _ratio(figure, values)]


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"{'>=' if figure.least else '<='} {figure.goal:g}"


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


def _ratio(figure: Figure, values: Mapping[str, float | None]) -> str:
    ours = values.get(OURS)
    others = [value for name, value in values.items() if name != OURS and value is not None]
    if ours is None or not others:
        return ""
    best = max(others) if figure.least else min(others)
    return f"{ours / best:.2g}" if best > 0 else ""
