"""The ledger: what a successor needs to know of what runs on this node when an agent is killed.

One file in the agent's node-local directory, only ever appended to. Its first line names the agent
and its plan. Each line after it is about one unit or is a section of the ledger (the end that has
begun, the plan that was asked for, troubles of GPUs, lost nodes), and the last line about the same
thing counts. What belongs together is one line, hence one write: whenever the agent is killed, no
part of it is newer than another.

A line is written before a process is started, with the tag that the process will carry and, for a
rank of a gang, the epoch of the run, and again when its pid is known: the next agent finds what
there is. The ledger names processes by pid and start time, so a stranger that was given the pid
since is never touched. A step of a unit is noted here before it is written to the journal, and the
line holds the whole step: when an agent is killed between the two, the next one writes it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pdsup.errors import SupervisorError
from pdsup.files import write_atomically
from pdsup.units import codec
from pdsup.units.facts import Facts, LastExit
from pdsup.units.logs.files import Place
from pdsup.units.process import proc
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.gpu import Trouble
from pdsup.units.process.tree import Identity
from pdsup.units.states import State

LEDGER = "ledger"
# Where version 0.1.0 kept the epochs of runs, troubles of GPUs and lost nodes.
FORMER_FILES = ("epochs.json", "gpus.json", "lost.json")
# Beyond it the ledger is written again from what is known: a day of restarts every second is less.
LARGEST_BYTES = 16 << 20
# A node that missed more changes of the plan than that has to be started again.
MOST_FORMER = 16


@dataclass(frozen=True, slots=True)
class Ledger:
    """What an agent that is gone left. ``plan``: the digest of what it ran, or of what the next
    one is to run; ``former``: those of the plans before it, the latest first.

    ``agent``: itself; ``guardian``: what would start the next one. ``notes``: the last one of each
    unit, the newest last. ``ending``: why the units were being ended, if they were, and whether
    those of every node were to. ``next``: the digest of the plan that somebody asked the agent to
    go over to, while it had not yet. ``gpus``: what was last told of each unit's GPUs. ``lost``:
    the nodes that were last told to be lost.
    """

    plan: str = ""
    agent: Identity | None = None
    guardian: Identity | None = None
    notes: Mapping[str, Note] = field(default_factory=dict)
    ending: tuple[str, bool] | None = None
    former: tuple[str, ...] = ()
    next: str = ""
    gpus: Mapping[str, Trouble] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()


class LedgerFile:
    """The ledger of one agent."""

    def __init__(
        self, state_dir: str, plan: str, inherited: Ledger, guardian: int | None = None
    ) -> None:
        """``plan``: its digest. ``guardian``: the pid of this agent's, if it has one."""
        self._path = Path(state_dir, LEDGER)
        self._notes = dict(inherited.notes)
        self._known = replace(
            inherited,
            plan=plan,
            agent=_identity(os.getpid()),
            guardian=_identity(guardian),
            notes=self._notes,
        )
        self._file = -1
        self._size = 0
        self._torn = False

    def open(self) -> bool:
        """Begins a ledger with what is known. A full disk is no reason not to run anything, and
        makes it False; the ledger that was there is continued then.
        """
        text = "".join(f"{line}\n" for line in _lines(self._known)).encode()
        try:
            write_atomically(self._path, text, 0o600)
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError:
            return False
        self.close()
        self._file, self._size, self._torn = file, len(text), False
        for name in FORMER_FILES:
            with contextlib.suppress(OSError):
                self._path.with_name(name).unlink()
        return True

    def close(self) -> None:
        """Closes the file, which stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def adopt(self, plan: str) -> None:
        """The next agent is to run another plan: that is so from one moment to the next.

        Raises SupervisorError where it can't be noted; then nothing has changed.
        """
        before = self._known
        former = tuple(one for one in (before.plan, *before.former) if one != plan)
        self._known = replace(before, plan=plan, former=former[:MOST_FORMER], next="")
        if not self.open():
            self._known = before
            raise SupervisorError(f"cannot write {self._path}")

    def note(self, new: Note) -> None:
        """From now on this is what is known of its unit."""
        self._notes.pop(new.unit, None)  # the newest stands last
        self._notes[new.unit] = new
        self._append(note_line(new))

    def note_end(self, reason: str, *, of_cluster: bool) -> None:
        """The units are being ended, which another agent has to go on with."""
        self._known = replace(self._known, ending=(reason, of_cluster))
        self._append(_end_line(reason, of_cluster))

    def note_next(self, plan: str) -> None:
        """Somebody asked for the plan with this digest; "": it is not gone over to after all."""
        self._known = replace(self._known, next=plan)
        self._append(_next_line(plan))

    def note_gpus(self, troubles: Mapping[str, Trouble]) -> None:
        """From now on this is what was told of the GPUs of units."""
        self._known = replace(self._known, gpus=dict(troubles))
        self._append(_gpus_line(troubles))

    def note_lost(self, nodes: Collection[str]) -> None:
        """From now on these are the nodes that were told to be lost."""
        self._known = replace(self._known, lost=frozenset(nodes))
        self._append(_lost_line(nodes))

    def _append(self, line: str) -> None:
        # What a full disk has cut off would spoil the line behind it.
        again = self._file < 0 or self._torn or self._size > LARGEST_BYTES
        if again and self.open():
            return
        data = f"{line}\n".encode()
        self._size += len(data)
        try:
            _write(self._file, data)
        except OSError:
            self._torn = True


def read(state_dir: Path) -> Ledger:
    """What the last agent left in its directory; empty when there was none since the last boot."""
    try:
        return _parsed((state_dir / LEDGER).read_bytes().splitlines())
    except OSError:
        return Ledger()


def left_under(root: Path, guardian: int) -> Path | None:
    """The directory of the agent that a guardian, by its pid, has started before, if any."""
    process = (guardian, proc.started(guardian))
    for path in root.glob(f"*/*/{LEDGER}"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if _parsed([file.readline()]).guardian == process:  # that stands in the first line
                return path.parent
    return None


def _parsed(lines: Iterable[bytes]) -> Ledger:
    known, notes = Ledger(), dict[str, Note]()
    for line in lines:
        # The last line may be cut off: its writer was killed, and did nothing after it.
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            match json.loads(line):
                case {"boot": boot, "plan": str(plan), "agent": below, "guardian": above} as head:
                    if boot != _boot():
                        return Ledger()
                    known = replace(
                        known,
                        plan=plan,
                        former=tuple(head.get("former", ())),
                        agent=_read_identity(below),
                        guardian=_read_identity(above),
                    )
                case {"ending": str(reason), "of_cluster": bool(everywhere)}:
                    known = replace(known, ending=(reason, everywhere))
                case {"next": str(later)}:
                    known = replace(known, next=later)
                case {"gpus": values}:
                    known = replace(known, gpus=read_troubles(values))
                case {"lost": list(nodes)}:
                    known = replace(known, lost=frozenset(map(str, nodes)))
                case {"unit": str(unit)} as values:
                    note = read_note(values)
                    notes.pop(unit, None)
                    notes[unit] = note
    return replace(known, notes=notes)


def _lines(known: Ledger) -> Iterator[str]:
    """All that ``_parsed`` reads, in as few lines as possible."""
    yield json.dumps(
        {
            "boot": _boot(),
            "plan": known.plan,
            "former": known.former,
            "agent": known.agent,
            "guardian": known.guardian,
        }
    )
    if known.ending is not None:
        yield _end_line(*known.ending)
    if known.next:
        yield _next_line(known.next)
    if known.gpus:
        yield _gpus_line(known.gpus)
    if known.lost:
        yield _lost_line(known.lost)
    yield from map(note_line, known.notes.values())


def is_living(process: Identity) -> bool:
    """Whether a process runs, and is not another one with the same pid."""
    pid, started = process
    return proc.started(pid) == started and not proc.is_zombie(pid)


def _identity(pid: int | None) -> Identity | None:
    return (pid, proc.started(pid) or 0) if pid else None


def _read_identity(value: list[int] | None) -> Identity | None:
    return (value[0], value[1]) if value else None


def _end_line(reason: str, of_cluster: bool) -> str:
    return json.dumps({"ending": reason, "of_cluster": of_cluster})


def _next_line(plan: str) -> str:
    return json.dumps({"next": plan})


def _gpus_line(troubles: Mapping[str, Trouble]) -> str:
    return json.dumps({"gpus": {unit: asdict(one) for unit, one in troubles.items()}})


def read_troubles(values: Mapping[str, Any]) -> dict[str, Trouble]:
    """The troubles of units by their names, from JSON; raises an error for anything else."""
    return {
        str(unit): Trouble(tuple(one["throttled"]), tuple(one["lost"]))
        for unit, one in values.items()
    }


def _lost_line(nodes: Collection[str]) -> str:
    return json.dumps({"lost": sorted(nodes)})


def _write(file: int, data: bytes) -> None:
    """All of it; raises OSError when less was written."""
    if os.write(file, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _boot() -> str:
    """Pids and monotonic times mean nothing after a reboot."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One unit at one moment.

    ``since``: wall seconds of the state; ``spawned``: monotonic seconds of the run's start.
    ``main``: its main process, None while that is not known; ``tag``: what all of the run carry,
    noted before the process is there. ``log``: where the run's output begins. ``ended``: the main
    process is gone, not yet all of its tree. ``was_ready``: it has been RUNNING, in whatever run.
    ``made``: the fingerprint (``plan/difference.py``) of what the run was started as; "": unknown.
    ``epoch``: that of its gang in which the run was started. ``step``: what led to the state
    (``codec.step``), None where something else than a step is noted.
    """

    unit: str
    state: State
    run: int
    since: float
    spawned: float | None
    main: Identity | None
    tag: int | None
    log: Place | None
    ended: bool
    was_ready: bool
    last_exit: LastExit | None
    made: str = ""
    epoch: int | None = None
    step: Mapping[str, Any] | None = None

    @property
    def facts(self) -> Facts:
        """What an agent that takes the unit over knows of it."""
        alive = self.main is not None and not self.ended
        return Facts(
            state=self.state,
            pid=self.main[0] if self.main and alive else None,
            run=self.run,
            since=self.since,
            started=self.spawned if alive else None,
            detail="",
            last_exit=self.last_exit,
        )


def note_line(note: Note) -> str:
    """One line of JSON, without its line feed."""
    last = note.last_exit
    values: dict[str, Any] = {
        "unit": note.unit,
        "state": codec.tagged(note.state),
        "run": note.run,
        "since": note.since,
        "spawned": note.spawned,
        "main": note.main,
        "tag": note.tag,
        "log": note.log,
        "ended": note.ended,
        "was_ready": note.was_ready,
        "last": [last.status.code, last.status.signal, last.at] if last else None,
        "made": note.made,
    }
    if note.epoch is not None:
        values["epoch"] = note.epoch
    if note.step is not None:
        values["step"] = note.step
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


def read_note(values: Mapping[str, Any]) -> Note:
    """The note that ``note_line`` wrote; raises ValueError when it is of another version."""
    try:
        main, last, log = values["main"], values["last"], values["log"]
        return Note(
            unit=values["unit"],
            state=codec.state(values["state"]),
            run=values["run"],
            since=values["since"],
            spawned=values["spawned"],
            main=(main[0], main[1]) if main else None,
            tag=values["tag"],
            log=(log[0], log[1], log[2]) if log else None,
            ended=values["ended"],
            was_ready=values["was_ready"],
            last_exit=LastExit(ExitStatus(last[0], last[1]), last[2]) if last else None,
            made=values.get("made", ""),
            epoch=values.get("epoch"),
            step=values.get("step"),
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no note of this version: {values!r}") from error
