"""The ledger: what the next agent needs to know if this one is killed while its units run.

An agent can be killed between any two instructions. Whatever it leaves behind, its successor must
find every process it started, must never start a unit that still runs, and must never signal a
stranger whose pid was once a unit's. So the order of writes matters. A unit is noted before its
process is started, with the tag that the process will carry and, for a rank of a gang, the epoch of
the run, and again when the pid is known: a process that was started in between is found by its tag.
Processes are identified by pid and start time, and all of it is void after a reboot. A step is
noted here, with its line for the journal, before that is written to the journal: if the agent is
killed between the two writes, its successor completes the journal. A line that the journal lacks
stays here whenever the ledger is written anew.

The ledger is one file in the agent's node-local directory. Its first line names the agent and its
plan. Each later line is a unit or a section (the shutdown in progress, the plan asked for, GPU
troubles, lost nodes), and the last line about the same thing counts. Lines are only appended, and
what belongs together is one line and hence one write, so that a kill cannot leave half a change.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from pdsup import clock
from pdsup.descriptor import Descriptor
from pdsup.errors import SupervisorError
from pdsup.files import open_regular, read_regular
from pdsup.lines_file import LinesFile
from pdsup.node.ownership import is_trusted, trusted_users
from pdsup.units import codec
from pdsup.units.facts import Line, Note
from pdsup.units.process import proc
from pdsup.units.process.gpu import Trouble
from pdsup.units.process.tree import Identity

LEDGER = "ledger"
# Where version 0.1.0 kept the epochs of runs, GPU troubles and lost nodes.
FORMER_FILES = ("epochs.json", "gpus.json", "lost.json")
# A larger ledger is rewritten without its outdated lines. A day of restarts every second is less.
LARGEST_BYTES = 16 << 20
# A file of this size is no ledger.
MOST_BYTES = 4 * LARGEST_BYTES
# A node that has missed more changes of the plan than this must be restarted.
MOST_FORMER = 16
# As many as can wait to be written to the journal.
MOST_LINES = 2000


@dataclass(frozen=True, slots=True)
class Ledger:
    """What an earlier agent left.

    ``run_dir`` and ``token``: the run directory, and the run's token, in case that is removed.
    ``plan``: the digest of the plan that it ran, or that the next one is to run; ``former``: the
    digests of the plans before, the latest first. ``agent`` and ``guardian``: its own processes.
    ``notes``: the last note of each unit, the newest last. ``ending``: if the units were being
    stopped, why, and whether on every node. ``next``: the digest of the plan that a reload asked
    for and that was not adopted yet. ``gpus``: the last reported GPU troubles by unit. ``lost``:
    the nodes last reported as lost. ``signers``: the nodes whose answers must be signed.
    ``lines``: what the journal may lack, in order.
    """

    run_dir: str = ""
    token: str = ""
    plan: str = ""
    agent: Identity | None = None
    guardian: Identity | None = None
    notes: Mapping[str, Note] = field(default_factory=dict)
    ending: tuple[str, bool] | None = None
    former: tuple[str, ...] = ()
    next: str = ""
    gpus: Mapping[str, Trouble] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    signers: frozenset[str] = frozenset()
    lines: tuple[Line, ...] = ()


class Journal(Protocol):
    """The journal, as the ledger sees it. ``written``: the moment of the last line written."""

    written: float

    def waiting(self) -> Sequence[Line]:
        """The lines that are not written yet, in order."""


class LedgerFile:
    """The ledger of one agent."""

    def __init__(
        self,
        state_dir: str,
        plan: str,
        inherited: Ledger,
        guardian: int | None = None,
        copy: Descriptor | None = None,
        text: bytes = b"",
        journal: Journal | None = None,
    ) -> None:
        """``plan``: the digest of its plan. ``guardian``: the pid of its guardian, if any, with the
        descriptor of the ``copy`` that it holds, which also has the ``text`` of the plan.
        """
        self._file = LinesFile(Path(state_dir, LEDGER), copy)
        self._about = {"state_dir": state_dir, "plan": text.decode("latin-1")}
        self._notes = dict(inherited.notes)
        self._journal = journal
        self._known = replace(
            inherited,
            lines=(),
            plan=plan,
            agent=proc.identity(os.getpid()),
            guardian=proc.identity(guardian),
            notes=self._notes,
        )

    @property
    def is_there(self) -> bool:
        """Whether the file still has its name, for the next agent to find."""
        return self._file.is_there

    def open(self) -> bool:
        """Writes a new ledger with what is known. Returns False if that fails, as on a full disk:
        units run anyway, and the old ledger is kept.
        """
        waiting = self._journal.waiting() if self._journal else []
        lines = *_lines(self._known), *map(_journal_line, waiting)
        text = "".join(f"{line}\n" for line in lines).encode()
        if not self._file.write(text, self._about):
            return False
        for name in FORMER_FILES:
            with contextlib.suppress(OSError):
                self._file.path.with_name(name).unlink()
        return True

    def close(self) -> None:
        """Closes the file, which stays for the next agent."""
        self._file.close()

    def adopt(self, plan: str) -> None:
        """Makes the next agent run another plan; the change is atomic.

        Raises SupervisorError if it cannot be written; then nothing has changed.
        """
        before = self._known
        former = tuple(digest for digest in (before.plan, *before.former) if digest != plan)
        self._known = replace(before, plan=plan, former=former[:MOST_FORMER], next="")
        if not self.open():
            self._known = before
            raise SupervisorError(f"cannot write {self._file.path}")

    def note(self, new: Note) -> None:
        """Replaces what is known about a unit."""
        self._notes.pop(new.unit, None)  # the newest is last
        self._notes[new.unit] = new
        self._append(codec.note_line(new))

    def note_line(self, line: Line) -> None:
        """Keeps a line of the journal that is not about a unit's step."""
        self._append(_journal_line(line))

    def note_end(self, reason: str, *, of_cluster: bool) -> None:
        """Notes that the units are being stopped, which a successor has to continue."""
        self._known = replace(self._known, ending=(reason, of_cluster))
        self._append(_end_line(reason, of_cluster))

    def note_next(self, plan: str) -> None:
        """Notes that a reload asked for the plan with this digest; "": it was abandoned."""
        self._known = replace(self._known, next=plan)
        self._append(json.dumps({"next": plan}))

    def note_gpus(self, troubles: Mapping[str, Trouble]) -> None:
        """Replaces the GPU troubles that have been reported, by unit."""
        self._known = replace(self._known, gpus=dict(troubles))
        self._append(_gpus_line(troubles))

    def note_lost(self, nodes: Collection[str]) -> None:
        """Replaces the nodes that have been reported as lost."""
        self._known = replace(self._known, lost=frozenset(nodes))
        self._append(_nodes_line("lost", nodes))

    def note_signers(self, nodes: Collection[str]) -> None:
        """Replaces the nodes whose answers must be signed (``cluster/peers.py``)."""
        self._known = replace(self._known, signers=frozenset(nodes))
        self._append(_nodes_line("signers", nodes))

    def _append(self, line: str) -> None:
        # A line that a full disk has cut short would spoil the line after it.
        again = not self._file.is_sound or self._file.size > LARGEST_BYTES
        if not (again and self.open()):
            written = self._journal.written if self._journal else 0.0
            self._file.append(f'{{"written":{written},{line[1:]}\n'.encode())


# What a damaged line may raise. One that was cut short is the last: its writer was killed, and did
# nothing after it.
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


def read(state_dir: Path) -> Ledger:
    """Reads what the last agent left; an empty ledger if there was none since the last boot.
    Damaged lines are skipped.
    """
    try:
        return parsed(read_regular(state_dir / LEDGER, MOST_BYTES).splitlines())
    except OSError:
        return Ledger()


def guardian_of(state_dir: Path) -> Identity | None:
    """The guardian of the last agent; None if there was none, or none since the last boot."""
    try:
        with os.fdopen(open_regular(state_dir / LEDGER, os.O_RDONLY), "rb") as file:
            return parsed([file.readline()]).guardian  # the first line has it
    except OSError:
        return None


def left_under(root: Path, guardian: int) -> Path | None:
    """Finds the directory of the agent that the guardian with this pid started before, if any."""
    process, users = (guardian, proc.started(guardian)), trusted_users()
    found = (path.parent for path in root.glob(f"*/*/{LEDGER}") if is_trusted(path.parent, users))
    return next((each for each in found if guardian_of(each) == process), None)


def parsed(lines: Sequence[bytes]) -> Ledger:
    """Parses a ledger from its end, since only the last line about a thing counts."""
    sections: dict[str, Any] = {}
    notes: dict[str, Note] = {}
    kept: dict[str, Line] = {}  # its copies in a note and beside it count once
    written = 0.0
    for line in reversed(lines):
        with contextlib.suppress(*DAMAGE):
            values = json.loads(line, parse_constant=_refused)
            written = written or codec.number(values.get("written", 0.0))
            if "line" in values and len(kept) < MOST_LINES:
                told = codec.line(values["line"])
                if told.moment > written:
                    kept[told.text] = told
            match values:
                case {"boot": boot, "plan": str(plan)} as head:
                    if boot != clock.boot():
                        return Ledger()
                    sections = _head(head, plan) | sections
                case {"ending": str(reason), "of_cluster": bool(everywhere)}:
                    sections.setdefault("ending", (reason, everywhere))
                case {"next": str(later)}:
                    sections.setdefault("next", later)
                case {"gpus": troubles} if "gpus" not in sections:
                    sections["gpus"] = codec.troubles(troubles)
                case {"lost": list(nodes)}:
                    sections.setdefault("lost", frozenset(map(str, nodes)))
                case {"signers": list(nodes)}:
                    sections.setdefault("signers", frozenset(map(str, nodes)))
                case {"unit": str(unit)} if unit not in notes:
                    notes[unit] = codec.read_note(values)
    journal = sorted(kept.values(), key=lambda each: each.moment)
    return Ledger(**sections, notes=dict(reversed(notes.items())), lines=tuple(journal))


def _refused(constant: str) -> Any:
    """No ledger that was written has NaN or Infinity, and no other can be written with them."""
    raise ValueError(constant)


def _head(head: Mapping[str, Any], plan: str) -> dict[str, Any]:
    former = head.get("former", ())
    run_dir, token = head.get("run_dir"), head.get("token")
    return {
        "run_dir": run_dir if isinstance(run_dir, str) else "",
        "token": token if isinstance(token, str) else "",
        "plan": plan,
        "former": tuple(former) if all(isinstance(one, str) for one in former) else (),
        "agent": codec.identity(head["agent"]),
        "guardian": codec.identity(head["guardian"]),
    }


def _lines(known: Ledger) -> Iterator[str]:
    """The lines of a ledger, as few as possible."""
    yield json.dumps(
        {
            "boot": clock.boot(),
            "run_dir": known.run_dir,
            "token": known.token,
            "plan": known.plan,
            "former": known.former,
            "agent": known.agent,
            "guardian": known.guardian,
        }
    )
    if known.ending is not None:
        yield _end_line(*known.ending)
    if known.next:
        yield json.dumps({"next": known.next})
    if known.gpus:
        yield _gpus_line(known.gpus)
    if known.lost:
        yield _nodes_line("lost", known.lost)
    if known.signers:
        yield _nodes_line("signers", known.signers)
    yield from map(codec.note_line, known.notes.values())


def _journal_line(line: Line) -> str:
    return f'{{"line":{line.text[:-1]}}}'


def _end_line(reason: str, of_cluster: bool) -> str:
    return json.dumps({"ending": reason, "of_cluster": of_cluster})


def _gpus_line(troubles: Mapping[str, Trouble]) -> str:
    return json.dumps({"gpus": {unit: asdict(trouble) for unit, trouble in troubles.items()}})


def _nodes_line(what: str, nodes: Collection[str]) -> str:
    return json.dumps({what: sorted(nodes)})
