"""Gathers what there is to know of one unit: from an agent, the journal, its log, its evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from pdsup.cli import client
from pdsup.cli.screens import progress
from pdsup.journal import load_times, runs
from pdsup.journal.entry import Entry
from pdsup.journal.file import Journals
from pdsup.units.logs import runs as logged_runs
from pdsup.units.logs.read import last_lines

MOST_RUNS = 3
MOST_LINES = 8
# Far enough back for the last lines of three runs; logs grow to gigabytes.
MOST_BYTES = 1 << 20


def investigate(cluster: client.Cluster, unit: str) -> dict[str, Any]:
    """The explanation of a unit's agent where that is on this machine, else of the first one here.

    Beside it ``runs``, the last three with the end of their output, ``evidence``, directories, and
    for a unit that starts ``usual_load_s``, the seconds units like it take, where that is known.
    Raises NothingThere when the plan has no such unit.
    """
    path = f"/v1/explain/{quote(unit, safe='')}"
    found: dict[str, Any] = client.ask(client.first_agent(cluster), path).value
    node = found["unit"]["node"]
    if node in cluster.sockets and node != found["told_by"]:
        found = client.ask(cluster.sockets[node], path).value
    run_dir = Path(found["run_dir"])
    entries = Journals(run_dir).news()
    return {
        **found,
        "usual_load_s": _usual_load(cluster, found["unit"], run_dir, entries),
        "runs": _runs(entries, unit, Path(found["log"])),
        "evidence": _evidence(run_dir, unit),
    }


def _usual_load(
    cluster: client.Cluster, shown: progress.Unit, run_dir: Path, entries: list[Entry]
) -> float | None:
    """By this run's journals, else by those of earlier runs of the same plan."""
    if shown["state"] != "STARTING":
        return None
    status = client.status(cluster, every=True)
    like = {unit["name"]: progress.alike(unit) for unit in progress.units(status)}
    earlier = load_times.usual_load(run_dir, status["cluster"], like)
    return {**earlier, **load_times.median_load(entries, like)}.get(progress.alike(shown))


def _runs(entries: list[Entry], unit: str, log: Path) -> list[dict[str, Any]]:
    last = runs.runs(runs.steps(entries).get(unit, ()))[-MOST_RUNS:]
    lines = last_lines(str(log), MOST_BYTES, MOST_BYTES)
    tails = logged_runs.tails(lines, unit, [run.number for run in last], MOST_LINES)
    return [{**runs.to_json(run), "output": tail} for run, tail in zip(last, tails, strict=True)]


def _evidence(run_dir: Path, unit: str) -> list[str]:
    try:
        found = [path for path in (run_dir / "evidence").iterdir() if _is_of(path.name, unit)]
    except OSError:  # nothing was captured yet
        return []
    return [str(path) for path in sorted(found, key=lambda path: path.stat().st_mtime)]


def _is_of(name: str, unit: str) -> bool:
    before, _, run = name.rpartition("-")
    return before == unit and run.isdigit()
