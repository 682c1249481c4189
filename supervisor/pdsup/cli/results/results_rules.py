"""The results of a run: its measurements, which of them counts, and their form in a CSV file.

The measurement of a point that counts is the first clean one, else the last one. Pure.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pdsup.cli.results.metrics import STATISTICS, Metrics

Verdict = Literal["clean", "tainted", "failed", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One measurement of one point; a row of the results.

    ``attempt``: its number among those of the point, from 1; 0 for a point that was not run.
    Times are seconds since the epoch. ``status``: the command's, as in a shell. ``why``: why it is
    not clean. ``gpus``: how many the cluster had. ``directory``: where the command put its files,
    relative to the run directory unless it is of another run. ``plan``: the digest of the plan.
    ``version``: that of this program.
    """

    point: str
    verdict: Verdict
    attempt: int = 0
    sweep: int = 0
    why: str = ""
    began: float | None = None
    ended: float | None = None
    seconds: float | None = None
    status: int | None = None
    incidents: tuple[Mapping[str, Any], ...] = ()
    metrics: Metrics | None = None
    gpus: int = 0
    command: tuple[str, ...] = ()
    directory: str = ""
    plan: str = ""
    version: str = ""


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
        return rows(self.points, self.attempts, "")


def counted(attempts: Iterable[Attempt], point: str) -> Attempt | None:
    """The measurement of a point that counts: of its last sweep the first clean one, else the last
    one. None if there is none.
    """
    own = [one for one in attempts if one.point == point]
    if not own:
        return None
    last = [one for one in own if one.sweep == own[-1].sweep]
    return next((one for one in last if one.verdict == "clean"), last[-1])


def rows(points: Sequence[str], attempts: Sequence[Attempt], why: str) -> list[Attempt]:
    """One row a point: the measurement that counts. ``why``: why there is none for the others."""
    return [
        counted(attempts, point) or Attempt(point=point, verdict="not run", why=why)
        for point in points
    ]


def resumed(
    points: Sequence[str], attempts: Sequence[Attempt], command: Sequence[str]
) -> list[Attempt]:
    """The clean measurements of earlier sweeps with the same command, one a point."""
    same = [one for one in attempts if one.command == tuple(command)]
    found = (counted(same, point) for point in points)
    return [one for one in found if one is not None and one.verdict == "clean"]


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
        "plan": row.plan,
        "version": row.version,
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
