"""Shows the points of a sweep as a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pdsup.cli.results import results_rules
from pdsup.cli.results.results_rules import Attempt
from pdsup.printable import printable

HEAD = (
    "POINT", "VERDICT", "ATTEMPT", "OUT TOK/S", "PER GPU", "TTFT P50", "TTFT P99",
    "TPOT P50",
    "ITL P99", "FAILED",
)  # fmt: skip
LEFT = 2


def table(rows: Sequence[Attempt]) -> list[str]:
    """The lines of the table; latencies are in milliseconds. Under each point that is not clean
    stands why.
    """
    made = [HEAD, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*made, strict=True)]
    lines = []
    for row, texts in zip((None, *rows), made, strict=True):
        lines.append(_line(texts, widths))
        if row is not None and row.why:
            lines.append(f"  {printable(row.why)}")
    return lines


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(texts[:LEFT], widths, strict=False)]
    right = [cell.rjust(width) for cell, width in zip(texts[LEFT:], widths[LEFT:], strict=True)]
    return "  ".join((*left, *right)).rstrip()


def cells(row: Attempt) -> tuple[str, ...]:
    """The texts of a row, one for each of ``HEAD``."""
    found = row.metrics
    attempt = str(row.attempt) if row.attempt else ""
    if found is None:
        return (row.point, row.verdict, attempt, *[""] * (len(HEAD) - 3))
    failed = "" if found.failed is None else str(found.failed)
    return (
        row.point,
        row.verdict,
        attempt,
        _number(found.output_tokens_per_s),
        _number(results_rules.per_gpu(row)),
        _number(found.ttft_ms.get("p50")),
        _number(found.ttft_ms.get("p99")),
        _number(_either(found.tpot_ms, found.itl_ms).get("p50")),
        _number(found.itl_ms.get("p99")),
        failed,
    )


def _either(first: Mapping[str, float], second: Mapping[str, float]) -> Mapping[str, float]:
    return first or second


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
