"""Writes the report of a run: one self-contained HTML file."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pdsup import clock, files, typed
from pdsup.cli.benchmark import RECORD, recorded
from pdsup.cli.results import curves, results, table
from pdsup.cli.runs import living
from pdsup.cli.screens import report
from pdsup.cli.screens.report import RecordedBenchmark, Source
from pdsup.errors import SupervisorError
from pdsup.journal.entry import LATEST
from pdsup.journal.file import Journals
from pdsup.node.assignment import log_path
from pdsup.node.paths import JOURNALS
from pdsup.node.run_dir import plan_of
from pdsup.plan import masks
from pdsup.plan.model import Plan

TEMPLATE = "report.html.j2"


def gather(run_dir: Path, beside: Path) -> Source:
    """Reads a run directory. ``beside``: the directory of the page, for relative links.

    Raises SupervisorError if it is not a run directory.
    """
    if not (run_dir / JOURNALS).is_dir():
        raise SupervisorError(f"cannot report on {run_dir}: it is not a run directory")
    journals = Journals(run_dir)
    entries = journals.news()
    benchmarks = [_placed(one, journals) for one in _benchmarks(run_dir / RECORD)]
    plan = _plan(run_dir)
    going = any(Path(one.run_dir).resolve() == run_dir.resolve() for one in living.clusters())
    ends = [*(one.at for one in entries), *(one.ended for one in benchmarks)]
    now = clock.wall()
    return Source(
        name=plan.name if plan else run_dir.name,
        run_dir=str(run_dir),
        entries=entries,
        benchmarks=benchmarks,
        plan=plan,
        logs=_logs(run_dir, plan, beside),
        end=now if going else max(ends, default=now),
        going=going,
        offset=time.localtime(now).tm_gmtoff,
        sweep=_sweep(run_dir),
    )


def write(source: Source, out: Path) -> None:
    """Writes the page to ``out``. Raises SupervisorError if it can't be written."""
    try:
        files.write_output(out, render(source).encode(errors="backslashreplace"))
    except OSError as error:
        raise SupervisorError(f"cannot write {out}: {error.strerror}") from None


def page(source: Source) -> dict[str, Any]:
    """What the page shows, and ``report --json`` prints: without the secrets of the plan and of
    this environment.
    """
    shown: dict[str, Any] = masks.of_plan(source.plan, os.environ).everywhere(report.page(source))
    return shown


def render(source: Source) -> str:
    """The page as HTML."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = importlib.resources.files("pdsup.cli").joinpath(TEMPLATE).read_text("utf-8")
    return environment.from_string(text).render(page(source))


def _placed(one: RecordedBenchmark, journals: Journals) -> RecordedBenchmark:
    """The benchmark on the axis of the journals, even if a clock was set since."""
    began = journals.at(one.monotonic, one.boot)
    if began is None:
        return one
    return replace(one, began=began, ended=began + one.ended - one.began)


def _sweep(run_dir: Path) -> dict[str, Any]:
    """The points of the run and their charts; empty if it has none that can be read."""
    with contextlib.suppress(SupervisorError):
        if found := results.read(run_dir):
            charts = curves.charts(found.rows, found.attempts)
            cells = [{"cells": table.cells(row), "why": row.why} for row in found.rows]
            return {"head": table.HEAD, "rows": cells, "charts": charts}
    return {}


def _benchmarks(path: Path) -> list[RecordedBenchmark]:
    """The benchmarks in ``run.json`` that can be shown, oldest first."""
    read = (
        typed.read(RecordedBenchmark, one, finite=True, lenient=True)[0] for one in recorded(path)
    )
    return [one for one in read if one and 0 <= one.began <= LATEST and 0 <= one.ended <= LATEST]


def _plan(run_dir: Path) -> Plan | None:
    """The plan of a run; None if this version can't read it (the report works without)."""
    with contextlib.suppress(SupervisorError):
        return plan_of(run_dir).plan
    return None


def _logs(run_dir: Path, plan: Plan | None, beside: Path) -> dict[str, str]:
    paths = {unit.name: log_path(str(run_dir), unit) for unit in (plan.units if plan else ())}
    return {
        name: os.path.relpath(path, beside) for name, path in paths.items() if Path(path).exists()
    }
