"""The ledger: what a successor needs to know of what runs on this node when an agent is killed.

One file in the agent's node-local directory, only ever appended to: the last line about a unit
counts. A line is written before a process is started, with the tag that it will carry, and again
when its pid is known: whenever the agent is killed, the next one finds what there is. It names
processes by pid and start time, so a stranger who was given the pid since is never touched.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdsup.errors import SupervisorError
from pdsup.units import codec
from pdsup.units.facts import Facts, LastExit
from pdsup.units.logs.files import Place
from pdsup.units.process import proc
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.tree import Identity
from pdsup.units.states import State

LEDGER = "ledger"
# Then it is written anew: a day of restarts every second stays below that.
LARGEST_BYTES = 16 << 20
# A node that missed more changes of the plan than that has to be started again.
MOST_FORMER = 16


@dataclass(frozen=True, slots=True)
class Ledger:
    """What an agent that is gone left. ``plan``: the digest of what it ran, or of what the next
    one is to run; ``former``: those of the plans before it, the latest first.

    ``agent``: itself; ``guardian``: what would start the next one. ``ending``: why the units were
    being ended, if they were, and whether those of every node were to. ``next``: the digest of the
    plan that somebody asked the agent to go over to, while it had not yet.
    """

    plan: str = ""
    agent: Identity | None = None
    guardian: Identity | None = None
    notes: Mapping[str, Note] = field(default_factory=dict)
    ending: tuple[str, bool] | None = None
    former: tuple[str, ...] = ()
    next: str = ""


class LedgerFile:
    """The ledger of one agent."""

    def __init__(
        self, state_dir: str, plan: str, inherited: Ledger, guardian: int | None = None
    ) -> None:
        """``plan``: its digest. ``guardian``: the pid of this agent's, if it has one."""
        self._path = Path(state_dir, LEDGER)
        self._plan, self._former = plan, inherited.former
        self._agent, self._guardian = _identity(os.getpid()), _identity(guardian)
        self._notes = dict(inherited.notes)
        self._ending = inherited.ending
        self._next = inherited.next
        self._file = -1
        self._size = 0
        self._torn = False

    def open(self) -> bool:
        """Begins a ledger with what is known. A full disk is no reason not to run anything, and
        makes it False; the ledger that there was is gone on with then.
        """
        lines = [self._head(), *map(note_line, self._notes.values())]
        if self._ending is not None:
            lines.append(_end_line(*self._ending))
        if self._next:
            lines.append(_next_line(self._next))
        text = "".join(f"{line}\n" for line in lines).encode()
        aside = self._path.with_name(f"{LEDGER}.new")
        file = -1
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            file = os.open(aside, flags, 0o600)
            _write(file, text)
            aside.replace(self._path)
        except OSError:
            if file >= 0:
                os.close(file)
            return False
        self.close()
        self._file, self._size, self._torn = file, len(text), False
        return True

    def close(self) -> None:
        """Lets go of the file, which stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def adopt(self, plan: str) -> None:
        """The next agent is to run another plan: that is so from one moment to the next.

        Raises SupervisorError where it can't be noted; then nothing has changed.
        """
        before = (self._plan, self._former, self._next)
        former = tuple(one for one in (self._plan, *self._former) if one != plan)
        self._plan, self._former, self._next = plan, former[:MOST_FORMER], ""
        if not self.open():
            self._plan, self._former, self._next = before
            raise SupervisorError(f"cannot write {self._path}")

    def note(self, new: Note) -> None:
        """From now on this is what is known of its unit."""
        self._notes[new.unit] = new
        self._append(note_line(new))

    def note_end(self, reason: str, *, of_cluster: bool) -> None:
        """The units are being ended, which another agent has to go on with."""
        self._ending = (reason, of_cluster)
        self._append(_end_line(reason, of_cluster))

    def note_next(self, plan: str) -> None:
        """Somebody asked for the plan with this digest; "": it is not gone over to after all."""
        self._next = plan
        self._append(_next_line(plan))

    def _head(self) -> str:
        return json.dumps(
            {
                "boot": _boot(),
                "plan": self._plan,
                "former": self._former,
                "agent": self._agent,
                "guardian": self._guardian,
            }
        )

    def _append(self, line: str) -> None:
        # What a full disk has cut off would spoil the line behind it.
        anew = self._file < 0 or self._torn or self._size > LARGEST_BYTES
        if anew and self.open():
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
    plan, agent, guardian, notes, ending, former, later = "", None, None, {}, None, (), ""
    for line in lines:
        # The last line may be cut off: its writer was killed, and did nothing after it.
        with contextlib.suppress(ValueError):
            match json.loads(line):
                case {"boot": boot, "plan": str(plan), "agent": below, "guardian": above} as head:
                    if boot != _boot():
                        return Ledger()
                    former = tuple(head.get("former", ()))
                    agent, guardian = _read_identity(below), _read_identity(above)
                case {"ending": str(reason), "of_cluster": bool(everywhere)}:
                    ending = (reason, everywhere)
                case {"next": str(later)}:
                    pass
                case {"unit": str(unit)} as values:
                    notes[unit] = read_note(values)
    return Ledger(plan, agent, guardian, notes, ending, former, later)


def is_living(process: Identity) -> bool:
    """Whether a process runs, and is not another one with the same pid."""
    pid, started = process
    return proc.started(pid) == started and not proc.is_zombie(pid)


def _identity(pid: int | None) -> list[int | None] | None:
    return [pid, proc.started(pid)] if pid else None


def _read_identity(value: list[int] | None) -> Identity | None:
    return (value[0], value[1]) if value else None


def _end_line(reason: str, of_cluster: bool) -> str:
    return json.dumps({"ending": reason, "of_cluster": of_cluster})


def _next_line(plan: str) -> str:
    return json.dumps({"next": plan})


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
    values = {
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
    return json.dumps(values, separators=(",", ":"), allow_nan=False)


def read_note(values: Mapping[str, Any]) -> Note:
    """The note that ``write`` wrote; raises ValueError when it is of another version."""
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
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no note of this version: {values!r}") from error
