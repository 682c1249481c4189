"""The results of a run, and their form in a CSV file. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from pdsup.cli.sweeps import sweep_rules
from pdsup.cli.sweeps.metrics import STATISTICS
from pdsup.cli.sweeps.sweep_rules import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The measurements of a run, the oldest first.

    ``points``: all points that were asked for, in that order. ``alike``: the same for every run of
    the same plan, on whichever nodes.
    """

    cluster: str = ""
    alike: str = ""
    points: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def rows(self) -> list[Attempt]:
        """One row a point: the measurement that counts."""
        return sweep_rules.rows(self.points, self.attempts, "")


def csv_text(rows: Sequence[Attempt]) -> str:
    """One line a point, for a spreadsheet, under a line of names."""
    text = io.StringIO()
    columns = [_columns(row) for row in rows]
    head = list(columns[0]) if columns else []
    writer = csv.DictWriter(text, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(columns)
    return text.getvalue()


def _columns(row: Attempt) -> dict[str, object]:
    found = row.metrics
    single = (
        "requests", "failed", "output_tokens", "requests_per_s", "output_tokens_per_s",
        "total_tokens_per_s",
    )  # fmt: skip
    latencies = ("ttft_ms", "itl_ms", "tpot_ms", "e2e_ms")
    return {
        **{name: getattr(row, name) for name in ("point", "verdict", "why", "attempt")},
        **{name: getattr(row, name) for name in ("began", "ended", "seconds", "status", "gpus")},
        "incidents": len(row.incidents),
        **{name: getattr(found, name, None) for name in single},
        "output_tokens_per_s_per_gpu": per_gpu(row),
        **{
            f"{name}_{statistic}": getattr(found, name, {}).get(statistic)
            for name in latencies
            for statistic in STATISTICS
        },
    }


def per_gpu(row: Attempt) -> float | None:
    """Output tokens per second and GPU."""
    rate = row.metrics.output_tokens_per_s if row.metrics else None
    return round(rate / row.gpus, 3) if rate is not None and row.gpus else None
