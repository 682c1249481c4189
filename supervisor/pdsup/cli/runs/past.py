"""Reads a run of which no agent answers from its directory: plan, journals, notes of its agents."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pdsup import clock, files, typed
from pdsup.answers.commands import LogFile
from pdsup.answers.explanation import Explanation, Gate, Outlook
from pdsup.answers.status import Status
from pdsup.cli.runs import past_rules
from pdsup.cli.runs.choice import plan_name
from pdsup.cli.runs.living import Cluster
from pdsup.cli.runs.past_rules import Machine, Past
from pdsup.errors import NothingThere, SupervisorError
from pdsup.journal import entry
from pdsup.journal.entry import Entry
from pdsup.journal.file import Journals
from pdsup.node import agent_files
from pdsup.node.assignment import log_path
from pdsup.node.paths import AGENTS, JOURNALS, PLAN_FILE
from pdsup.plan import masks
from pdsup.units import ledger
from pdsup.units.process import proc

if TYPE_CHECKING:
    from pdsup.plan.compile.load import Loaded

# The end of a journal that has its last entry.
END_BYTES = 64 << 10


@dataclass(frozen=True)
class PastRun:
    """A run without an agent to ask. ``words``: its directory, for people.

    ``left``: what its killed agents left on this machine.
    """

    words: str
    left: Cluster

    @property
    def run_dir(self) -> Path:
        """Its directory."""
        return Path(self.left.run_dir)

    @property
    def headline(self) -> str:
        """The line above what is shown of it."""
        return f"{self.why}; the last known:"

    def to_json(self) -> dict[str, object]:
        """For ``status --json``: whether the run has ended, and the time of its last news."""
        return {"state": self.past.state, "last": self.past.last, "run_dir": self.past.run_dir}

    def status(self) -> Status:
        """The last known status of every node. Raises SupervisorError if its plan is unreadable."""
        return past_rules.status(self._loaded.plan, self._loaded.digest, self.past, self.entries)

    def log_files(self) -> tuple[LogFile, ...]:
        """The logs of all units, in the order of the plan."""
        return tuple(
            LogFile(
                path=log_path(str(self.run_dir), unit),
                name=unit.name,
                kind=unit.kind,
                role=unit.role,
                gang=unit.gang,
                noise=unit.probes.progress.noise,
            )
            for unit in self._loaded.plan.units
        )

    def explanation(self, unit: str) -> Explanation:
        """What is known about a unit. Raises NothingThere if the plan has no such unit."""
        planned = self._loaded.plan.by_name.get(unit)
        if planned is None:
            hint = typed.names_instead(unit, self._loaded.plan.by_name)
            raise NothingThere(f"cannot explain {unit}: no such unit{hint}")
        (node,) = (one for one in self.status().nodes if one.node == planned.node)
        (shown,) = (one for one in node.units if one.name == unit)
        return Explanation(
            unit=shown,
            address=node.address,
            agent=node.agent,
            told_by="",
            gate=Gate(rule="all", conditions=()),
            next=Outlook(what=past_rules.outlook(self.past, planned), at=None),
            log=log_path(str(self.run_dir), planned),
            run_dir=str(self.run_dir),
            noise=planned.probes.progress.noise,
            has_secrets=masks.has_secrets(self._loaded.plan),
        )

    @property
    def why(self) -> str:
        """Why no agent of it answers."""
        return past_rules.why(self.past, clock.wall())

    @cached_property
    def past(self) -> Past:
        """What is left of it."""
        return past_of(self.run_dir, self.words, self.left.directories)

    @cached_property
    def entries(self) -> list[Entry]:
        """The journals of all nodes."""
        return Journals(self.run_dir).news()

    @cached_property
    def _loaded(self) -> Loaded:
        from pdsup.node.run_dir import plan_of  # late: not every query needs it

        path = self.run_dir / PLAN_FILE
        if not path.exists():
            raise SupervisorError(f"cannot read the plan of {self.words}: there is no {PLAN_FILE}")
        return plan_of(self.run_dir)


def past_of(run_dir: Path, words: str, left: Mapping[str, Path] = MappingProxyType({})) -> Past:
    """What is left of a run of which no agent answers here, without reading whole journals.

    ``left``: node-local directories of killed agents, by node.
    """
    places, here = agent_files.read(run_dir), Machine(os.uname().nodename, clock.boot())
    began, last = _span(run_dir)
    return Past(
        name=plan_name(run_dir),
        words=words,
        run_dir=str(run_dir),
        state=past_rules.run_state(places, here, settled=_is_settled(run_dir), left=bool(left)),
        began=began,
        last=last,
        places=places,
        pids=_survivors(left),
    )


def _is_settled(run_dir: Path) -> bool:
    """Whether a run ended in order. This reads whole journals for agents of 0.1.0 alone, which did
    not note their places.
    """
    with contextlib.suppress(SupervisorError):  # a journal that can't be read
        return (run_dir / AGENTS).is_dir() or past_rules.is_settled(Journals(run_dir).news())
    return False


def _span(run_dir: Path) -> tuple[float | None, float | None]:
    """The times of the first and the last entry, from the ends of the journals."""
    times = [time for path in (run_dir / JOURNALS).glob("*.jsonl") for time in _times(path)]
    return min(times, default=None), max(times, default=None)


def _times(path: Path) -> list[float]:
    with (
        contextlib.suppress(OSError),
        os.fdopen(files.open_regular(path, os.O_RDONLY), "rb") as file,
    ):
        first = file.readline()
        file.seek(max(0, file.seek(0, os.SEEK_END) - END_BYTES))
        lines = [first, *file.read().splitlines()]
        return [one.at for line in lines if (one := entry.parse(line)) is not None]
    return []


def _survivors(directories: Mapping[str, Path]) -> dict[str, int]:
    """The main processes that still run, by unit, as the ledgers of killed agents name them."""
    notes = [note for path in directories.values() for note in ledger.read(path).notes.values()]
    return {note.unit: note.main[0] for note in notes if note.main and proc.is_living(note.main)}
