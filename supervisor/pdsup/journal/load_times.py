"""Estimates how long units take to load, from the journals of earlier runs of the same plan.

It reads only the beginning of each journal: every unit loads there, and the journal of a long run
on a shared file system may be large.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pdsup.files import open_regular
from pdsup.journal import entry
from pdsup.journal.entry import Entry
from pdsup.journal.runs import runs, steps
from pdsup.node.paths import JOURNALS, PLAN_FILE


def median_load(entries: Iterable[Entry], kind_of: Mapping[str, str]) -> dict[str, float]:
    """For each kind of unit, the median of the seconds from a run's start until it was ready.

    ``kind_of``: the kind of each unit, by name; other units are ignored.
    """
    by_unit = steps(entries)
    loads: dict[str, list[float]] = {}
    for unit in by_unit.keys() & kind_of.keys():
        ready = [run.ready - run.began for run in runs(by_unit[unit]) if run.ready is not None]
        loads.setdefault(kind_of[unit], []).extend(ready)
    return {kind: sorted(found)[len(found) // 2] for kind, found in loads.items() if found}


MOST_RUNS = 3
MOST_JOURNALS = 16
JOURNAL_BYTES = 64 << 10
PLAN_BYTES = 4 << 10


def usual_load(run_dir: Path, plan: str, kind_of: Mapping[str, str]) -> dict[str, float]:
    """The median of ``median_load`` over the newest runs beside ``run_dir`` of the plan so named.

    A plan is identified by its name alone: its nodes, and hence its digest, differ from job to job.
    Files that cannot be read are ignored.
    """
    loads: dict[str, list[float]] = {}
    for earlier in _newest(run_dir, plan):
        for kind, seconds in median_load(_beginnings(earlier), kind_of).items():
            loads.setdefault(kind, []).append(seconds)
    return {kind: sorted(found)[len(found) // 2] for kind, found in loads.items()}


def _newest(run_dir: Path, plan: str) -> Iterator[Path]:
    """The directories of the newest runs of a plan; opens no more plan files than needed."""
    aged = sorted(_aged(run_dir, plan), reverse=True)
    return itertools.islice((path for _, path in aged if _is_of(path, plan)), MOST_RUNS)


def _aged(run_dir: Path, plan: str) -> Iterator[tuple[float, Path]]:
    for path in run_dir.parent.glob(f"{glob.escape(plan)}-*"):
        if path.name != run_dir.name:
            with contextlib.suppress(OSError):
                yield (path / PLAN_FILE).stat().st_mtime, path


def _is_of(run_dir: Path, plan: str) -> bool:
    """Whether a run is one of the plan so named, which its directory's name does not prove."""
    try:
        with os.fdopen(open_regular(run_dir / PLAN_FILE, os.O_RDONLY), "rb") as file:
            head = file.read(PLAN_BYTES).decode(errors="replace")
    except OSError:
        return False
    named = rf"^name:\s*(['\"]?){re.escape(plan)}\1\s*$"
    return re.search(named, head, re.MULTILINE) is not None


def _beginnings(run_dir: Path) -> Iterator[Entry]:
    for path in sorted((run_dir / JOURNALS).glob("*.jsonl"))[:MOST_JOURNALS]:
        try:
            with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
                lines = file.read(JOURNAL_BYTES).split(b"\n")
        except OSError:
            continue
        yield from (one for line in lines if (one := entry.parse(line)) is not None)
