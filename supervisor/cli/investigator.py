"""Gathers what there is to know of one unit: from an agent, the journal, its log, its evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from supervisor.api import history
from supervisor.api.chronicler import Chronicler
from supervisor.cli import client, runlog
from supervisor.units.logreader import last_lines

MOST_RUNS = 3
MOST_LINES = 8
# Far enough back for the last lines of three runs; logs grow to gigabytes.
MOST_BYTES = 1 << 20


def investigate(cluster: client.Cluster, unit: str) -> dict[str, Any]:
    """The explanation of a unit's agent where that is on this machine, else of the first one here.

    Beside it ``runs``, the last three with the end of their output, and ``evidence``, directories.
    Raises NothingThere when the plan has no such unit.
    """
    path = f"/v1/explain/{quote(unit, safe='')}"
    found: dict[str, Any] = client.ask(client.first_agent(cluster), path).value
    node = found["unit"]["node"]
    if node in cluster.sockets and node != found["told_by"]:
        found = client.ask(cluster.sockets[node], path).value
    run_dir = Path(found["run_dir"])
    return {
        **found,
        "runs": _runs(run_dir, unit, Path(found["log"])),
        "evidence": _evidence(run_dir, unit),
    }


def _runs(run_dir: Path, unit: str, log: Path) -> list[dict[str, Any]]:
    entries = [one for one in Chronicler(run_dir).news() if one.unit == unit]
    last = history.runs(entries)[-MOST_RUNS:]
    lines = last_lines(str(log), MOST_BYTES, MOST_BYTES)
    tails = runlog.tails(lines, unit, [run.number for run in last], MOST_LINES)
    return [{**history.to_json(run), "output": tail} for run, tail in zip(last, tails, strict=True)]


def _evidence(run_dir: Path, unit: str) -> list[str]:
    try:
        found = [path for path in (run_dir / "evidence").iterdir() if _is_of(path.name, unit)]
    except OSError:  # nothing was captured yet
        return []
    return [str(path) for path in sorted(found, key=lambda path: path.stat().st_mtime)]


def _is_of(name: str, unit: str) -> bool:
    before, _, run = name.rpartition("-")
    return before == unit and run.isdigit()
