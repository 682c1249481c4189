"""Gathers what is known about one unit: from an agent, the journal, its log and its evidence."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pdsup.answers.explanation import Explanation
from pdsup.answers.status import UnitStatus
from pdsup.cli import client
from pdsup.cli.screens import progress
from pdsup.cli.screens.explain import Findings, LoggedRun
from pdsup.errors import SupervisorError
from pdsup.journal import load_times, runs
from pdsup.journal.entry import Entry
from pdsup.journal.file import Journals
from pdsup.plan import masks
from pdsup.plan.masks import Mask
from pdsup.units.logs import last, split
from pdsup.units.public_state import PublicState

if TYPE_CHECKING:
    from pdsup.cli.runs.past import PastRun

MOST_RUNS = 3
MOST_LINES = 8
# Of each journal at first: some ten thousand lines, which take a tenth of a second.
MOST_BYTES = 4 << 20


def investigate(found: client.Cluster | PastRun, unit: str) -> Findings:
    """What is known about a unit of a run, active or past.

    Raises NothingThere if the plan has no such unit.
    """
    told = _asked(found, unit) if isinstance(found, client.Cluster) else found.explanation(unit)
    run_dir = Path(told.run_dir)
    entries = _entries(run_dir, told.unit)
    if told.unit.state is PublicState.UNKNOWN and not told.unit.run:
        told = _from_journal(told, entries)
    told = _since_by_journal(told, entries)
    return Findings(
        explanation=told,
        usual_load_s=_usual_load(found, told.unit, run_dir, entries),
        runs=_runs(entries, told, _mask(told)),
        evidence=_evidence(run_dir, unit),
        past=not isinstance(found, client.Cluster),
        asked=_asked_last(entries, unit),
    )


def _entries(run_dir: Path, unit: UnitStatus) -> list[Entry]:
    """The ends of the journals; all of them for one that loads, as similar ones did long ago, and
    if nothing is there of a unit that has run.
    """
    if unit.state is not PublicState.STARTING:
        entries = Journals(run_dir, MOST_BYTES).news()
        if not unit.run or any(entry.unit == unit.name for entry in entries):
            return entries
    return Journals(run_dir).news()


def _asked(cluster: client.Cluster, unit: str) -> Explanation:
    """Asks the unit's own agent if it is on this machine, else any one here."""
    sockets = list(cluster.sockets.values())
    told = _explanation(sockets, unit)
    node = told.unit.node
    if node in cluster.sockets and node != told.told_by:
        told = _explanation([cluster.sockets[node], *sockets], unit)
    return told


def _from_journal(told: Explanation, entries: list[Entry]) -> Explanation:
    """The last known state of a unit of whose node no agent here has ever heard."""
    from pdsup.cli.runs import past_rules  # late: rarely needed

    steps = runs.steps(entries).get(told.unit.name, ())
    known = past_rules.unit_status(told.unit, steps, told.unit.reason)
    return replace(told, unit=known)


def _since_by_journal(told: Explanation, entries: list[Entry]) -> Explanation:
    """The same with the beginning of the state as on the journal's axis: the agent noted it by a
    wall clock that may have been set since.
    """
    steps = runs.steps(entries).get(told.unit.name, ())
    begun = next((step for step in reversed(steps) if step.changes), None)
    if begun is None or begun.to is not told.unit.state:
        return told
    return replace(told, unit=told.unit.replace(since=begun.at))


def _explanation(agents: Sequence[Path], unit: str) -> Explanation:
    query = client.about("/v1/explain", unit, "explain")
    return client.read(Explanation, client.ask_any(agents, query))


def _usual_load(
    found: client.Cluster | PastRun, shown: UnitStatus, run_dir: Path, entries: list[Entry]
) -> float | None:
    """The usual load time by this run's journals, else by those of earlier runs of the plan."""
    if shown.state is not PublicState.STARTING:  # nor is any unit of a past run
        return None
    status = client.status(found, every=True)
    like = {unit.name: progress.alike(unit) for unit in status.units}
    earlier = load_times.usual_load(run_dir, status.cluster, like)
    return {**earlier, **load_times.median_load(entries, like)}.get(progress.alike(shown))


def _mask(told: Explanation) -> Mask:
    """Masks what the plan and this environment hold; only then the plan is worth reading."""
    plan = None
    if told.has_secrets:
        from pdsup.node.run_dir import plan_of  # late: rarely needed

        with contextlib.suppress(SupervisorError):
            plan = plan_of(Path(told.run_dir)).plan
    return masks.of_plan(plan, os.environ)


def _runs(entries: list[Entry], told: Explanation, mask: Mask) -> list[LoggedRun]:
    unit = told.unit.name
    found = runs.runs(runs.steps(entries).get(unit, ()))[-MOST_RUNS:]
    wanted = last.Wanted(MOST_LINES, split.noise(told.noise))
    output = last.of_runs(told.log, unit, [run.number for run in found], wanted)
    return [
        LoggedRun(run, [mask(line) for line in lines])
        for run, lines in zip(found, output, strict=True)
    ]


def _asked_last(entries: list[Entry], unit: str) -> tuple[str, float] | None:
    """What somebody asked of a unit last, with who did, and when."""
    for entry in reversed(entries):
        if (entry.event, entry.unit) == ("Requested", unit):
            return entry.reason, entry.at
    return None


def _evidence(run_dir: Path, unit: str) -> list[str]:
    try:
        paths = [path for path in (run_dir / "evidence").iterdir() if _is_of(path.name, unit)]
    except OSError:  # no evidence was collected yet
        return []
    return [str(path) for path in sorted(paths, key=lambda path: path.stat().st_mtime)]


def _is_of(name: str, unit: str) -> bool:
    """Whether a directory is the evidence of a unit: of a hung run, or taken by hand at a time."""
    return re.fullmatch(rf"{re.escape(unit)}-\d+(-at-\d+T\d+Z)?", name) is not None
