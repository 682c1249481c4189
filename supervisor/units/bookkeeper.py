"""Keeps a ledger on this node of what runs, so that nothing is lost with an agent that is killed.

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
import shutil
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from supervisor import clock
from supervisor.errors import SupervisorError
from supervisor.units import note, scanner
from supervisor.units.note import Note
from supervisor.units.tree import Identity

LEDGER = "ledger"
# Then it is written anew: a day of restarts every second stays below that.
LARGEST_BYTES = 16 << 20
# A node that missed more changes of the plan than that has to be started again.
MOST_FORMER = 16
# SIGKILL acts at once except on a process in an uninterruptible wait (state D).
PROOF_S = 5.0
LOOK_S = 0.01


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


class Bookkeeper:
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
        lines = [self._head(), *map(note.write, self._notes.values())]
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
        self._append(note.write(new))

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
    process = (guardian, scanner.started(guardian))
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
                    notes[unit] = note.read(values)
    return Ledger(plan, agent, guardian, notes, ending, former, later)


def lives(ledger: Ledger) -> bool:
    """Whether anything of the noted runs is left."""
    return bool(_living(list(ledger.notes.values())))


def end(notes: Iterable[Note]) -> list[int]:
    """Kills everything of the noted runs, wherever it went; returns what survives SIGKILL."""
    known = [one for one in notes if one.main or one.tag]
    until = clock.monotonic() + PROOF_S
    while (roots := _living(known)) and clock.monotonic() < until:
        from supervisor.units.reaper import kill_tree  # late: most often there is nothing to end

        for root in roots:
            kill_tree(root)
        time.sleep(LOOK_S)  # they are nobody's children here, so nobody tells
    return roots


def clean_up(state_dir: Path) -> list[int]:
    """Ends guardian, agent and units, at once; removes the directory when nothing is left."""
    ledger = read(state_dir)
    for process in (ledger.guardian, ledger.agent):
        if process and is_living(process):
            with contextlib.suppress(OSError):
                os.kill(process[0], signal.SIGKILL)
    left = end(ledger.notes.values())
    if not left:
        shutil.rmtree(state_dir, ignore_errors=True)
    return left


def _living(notes: list[Note]) -> list[int]:
    """Main processes that still run, and whatever carries the tag of a noted run."""
    mains = [one.main[0] for one in notes if one.main and is_living(one.main)]
    tags = {one.tag for one in notes if one.tag is not None}
    return mains or [pid for pid in scanner.tagged(tags) if not scanner.is_zombie(pid)]


def is_living(process: Identity) -> bool:
    """Whether a process runs, and is not another one with the same pid."""
    pid, started = process
    return scanner.started(pid) == started and not scanner.is_zombie(pid)


def _identity(pid: int | None) -> list[int | None] | None:
    return [pid, scanner.started(pid)] if pid else None


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
