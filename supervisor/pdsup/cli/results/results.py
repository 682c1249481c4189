"""Reads and writes the results of a run: ``results/points.json``, and ``points.csv`` beside it.

The JSON file holds every measurement, the CSV file one row a point, for a spreadsheet. Beside them
each measurement has a directory, in which its command may leave files.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pdsup import typed
from pdsup.cli.results import metrics, results_rules
from pdsup.cli.results.metrics import Metrics
from pdsup.cli.results.results_rules import Attempt, Results
from pdsup.errors import SupervisorError
from pdsup.files import make_directory, read_regular, write_atomically

FOLDER = "results"
POINTS = "points.json"
# A tool may write each request's times too.
MOST_BYTES = 256 << 20
SUFFIXES = (".json", ".jsonl")


def read(run_dir: Path) -> Results | None:
    """The results of a run; None if it has none. Raises SupervisorError if they are unreadable."""
    path = run_dir / FOLDER / POINTS
    try:
        value = json.loads(read_regular(path, MOST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise SupervisorError(f"cannot read {path}: {error}") from None
    found, faults = typed.read(Results, value, lenient=True)
    if found is None:
        where = ".".join(map(str, faults[0].path))
        raise SupervisorError(f"cannot read {path}: {where}: {faults[0].message}")
    return found


def write(run_dir: Path, results: Results) -> None:
    """Writes both files. Raises OSError."""
    folder = run_dir / FOLDER
    make_directory(folder)
    write_atomically(folder / "points.csv", results_rules.csv_text(results.rows).encode(), 0o644)
    write_atomically(folder / POINTS, (typed.dumps(results, indent=2) + "\n").encode(), 0o644)


def place(run_dir: Path, point: str, attempt: int) -> tuple[int, Path]:
    """A new directory for a measurement, and its number: ``attempt``, or a later one where that
    directory exists, as after a job that ended in the middle. Raises SupervisorError.
    """
    folder = run_dir / FOLDER
    paths = ((number, folder / f"{point}-{number}") for number in itertools.count(attempt))
    number, path = next(one for one in paths if not one[1].exists())
    try:
        make_directory(path)
    except OSError as error:
        raise SupervisorError(f"cannot make {path}: {error.strerror}") from None
    return number, path


def measured(directory: Path) -> Metrics | None:
    """What the newest result file in a directory says; None if there is none of a known tool."""
    files = sorted(_files(directory), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((one for one in map(_metrics, files) if one is not None), None)


def _files(directory: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(directory):
        paths = (Path(folder, name) for name in names if name.endswith(SUFFIXES))
        yield from (path for path in paths if path.is_file())


def _metrics(path: Path) -> Metrics | None:
    """The metrics in a file: those of its only object, or of its last line that has some."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        text = read_regular(path, MOST_BYTES)
        if path.suffix == ".json":
            return metrics.of(json.loads(text))
        lines = (line for line in reversed(text.splitlines()) if line.strip())
        return metrics.of(json.loads(next(lines, b"null")))
    return None


def earlier(run_dir: Path, alike: str, command: Sequence[str]) -> list[Attempt]:
    """The clean measurements of the newest other run beside this one, of the same plan and command.

    Their directories are absolute paths.
    """
    found: list[tuple[float, Path, list[Attempt]]] = []
    for path in run_dir.parent.glob(f"*/{FOLDER}/{POINTS}"):
        other = path.parent.parent
        if other == run_dir:
            continue
        with contextlib.suppress(SupervisorError):
            results = read(other)
            if results is None or results.alike != alike:
                continue
            clean = results_rules.resumed(results.points, results.attempts, command)
            if clean:
                found.append((max(one.ended or 0.0 for one in clean), other, clean))
    if not found:
        return []
    _, other, clean = max(found, key=lambda one: one[0])
    return [replace(one, directory=str(other / one.directory)) for one in clean]
