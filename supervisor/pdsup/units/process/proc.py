"""Reads from /proc what the kernel knows about processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pdsup.node.assignment import RUN_VARIABLE
from pdsup.units.process.tree import (
    LEAST_TAG,
    TAG_LIMIT,
    Identity,
    Leftover,
    Process,
    Row,
    Seen,
    Usage,
)

_MARK = RUN_VARIABLE.encode() + b"="
_TAG = b"\nMax file locks"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """Returns the direct children of a process; each of its threads has its own list of them.

    The list is complete for this process. For another one the kernel may omit some if a child exits
    meanwhile.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 (faster)
        below = [_read(pid, f"task/{task}/children").split() for task in tasks]
        return [int(word) for words in below for word in words]
    return []


def tagged(tags: Collection[int]) -> list[int]:
    """Searches all processes for those that carry one of ``tags``: for when no parent is known.

    It takes a tenth of a second on a node with thousands of processes.
    """
    return [pid for pid in everyone() if _tag(pid) in tags] if tags else []


def everyone() -> list[int]:
    """Returns every pid that is visible from here."""
    return sorted(_pids())


def main_of(tag: int | None) -> tuple[int, int] | None:
    """Finds the main process of the run with this tag, if it lives: its pid and start time."""
    for pid in tagged({tag}) if tag is not None else ():
        stat = _stat(pid)
        if stat is not None and stat.session == pid:
            return pid, stat.started
    return None


@dataclass(frozen=True, slots=True)
class Untold:
    """A main process of a run that nobody noted. ``tag``: None where none could be set. ``mark``:
    the value of ``PDSUP_RUN``, "" if it has written over its environment. ``output``: where its
    stdout goes.
    """

    identity: Identity
    tag: int | None
    mark: str
    output: str


def untold() -> list[Untold]:
    """Searches all processes for tagged or marked leaders of a session, the oldest first."""
    found = []
    for pid in everyone():
        if not _leads_session(pid) or (_tag(pid) is None and _mark(pid) is None):
            continue
        stat = _stat(pid)  # again in this order: by now it may be another process
        if stat is not None and stat.session == pid and stat.state != b"Z":
            tag, mark = _tag(pid), _mark(pid)
            if tag is not None or mark is not None:
                output = _link(pid, "fd/1").removesuffix(" (deleted)")
                found.append(Untold((pid, stat.started), tag, mark or "", output))
    return sorted(found, key=lambda each: each.identity[1])


def _leads_session(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return os.getsid(pid) == pid
    return False


def age_s(process: Identity) -> float:
    """How many seconds ago a process was started."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return max(0.0, uptime - process[1] / TICKS_PER_S)


def tree(root: int) -> list[Identity]:
    """Returns a process and its descendants, parents first, without those that end meanwhile."""
    found: list[Identity] = []
    queue = [(root, 0)]
    while queue:
        pid, parent = queue.pop(0)
        stat = _stat(pid)
        # With another parent it has become an orphan, or its pid has been reused.
        if stat is not None and parent in (0, stat.parent):
            found.append((pid, stat.started))
            queue += [(child, pid) for child in children(pid)]
    return found


def started(pid: int) -> int | None:
    """The start time of a process, in clock ticks since boot; None if there is no such process."""
    stat = _stat(pid)
    return stat.started if stat else None


def identity(pid: int | None) -> Identity | None:
    """A process with its start time; None for None."""
    return (pid, started(pid) or 0) if pid else None


def is_living(process: Identity) -> bool:
    """Whether a process still runs, and its pid has not been reused."""
    pid, start = process
    return started(pid) == start and not is_zombie(pid)


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and is waiting to be reaped."""
    stat = _stat(pid)
    return stat is not None and stat.state == b"Z"


def seen(pid: int) -> Seen | None:
    """The name and state of a process; None if there is no such process."""
    stat = _stat(pid)
    return Seen(stat.name, stat.state.decode(), stat.started) if stat else None


def cpu_seconds(pids: Iterable[int]) -> float:
    """The CPU seconds that these processes have used so far, reaped children included."""
    return sum(stat.ticks for pid in pids if (stat := _stat(pid))) / TICKS_PER_S


def usage(roots: Mapping[str, int]) -> dict[str, Usage]:
    """What each of ``roots``, main processes by name, uses together with its descendants.

    It passes over the node's processes once, however many roots there are.
    """
    stats = {pid: stat for pid in _pids() if (stat := _stat(pid))}
    below: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        below.setdefault(stat.parent, []).append(pid)
    return {name: _used(root, stats, below) for name, root in roots.items() if root in stats}


def rows(root: int, most: int) -> tuple[list[Row], int]:
    """At most ``most`` processes of a tree, parents first, and how many more there are."""
    pids = tree(root)
    stats = {pid: stat for pid, _ in pids[:most] if (stat := _stat(pid))}
    depths: dict[int, int] = {}
    for pid, stat in stats.items():
        depths[pid] = depths.get(stat.parent, -1) + 1
    found = [
        Row(pid, depths[pid], s.name, s.state.decode(), s.ticks / TICKS_PER_S, s.resident)
        for pid, s in stats.items()
    ]
    return found, max(0, len(pids) - most)


def usage_of(pid: int) -> Usage | None:
    """What one process uses, without its descendants."""
    stat = _stat(pid)
    return Usage(stat.ticks / TICKS_PER_S, stat.resident, 1) if stat else None


def _used(root: int, stats: Mapping[int, _Stat], below: Mapping[int, list[int]]) -> Usage:
    tree = [root]
    for pid in tree:
        tree += below.get(pid, ())
    ticks = sum(stats[pid].ticks for pid in tree)
    return Usage(ticks / TICKS_PER_S, sum(stats[pid].resident for pid in tree), len(tree))


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 (faster)


def leftover(pid: int) -> Leftover | None:
    """Reads the traces that a run leaves on its processes; None if there is no such process."""
    stat = _stat(pid)
    return Leftover(pid, stat.started, stat.session, _tag(pid), _mark(pid)) if stat else None


def describe(pid: int) -> Process | None:
    """Everything worth keeping about a process that hangs; None if there is no such process."""
    stat = _stat(pid)
    if stat is None:
        return None
    return Process(
        pid=pid,
        parent=stat.parent,
        name=stat.name,
        state=stat.state.decode(),
        command=_command(pid, stat),
        threads=tuple(_thread(task.name, pid) for task in _tasks(pid)),
        stack=text(pid, "stack"),
    )


def titles(pid: int) -> tuple[str, str]:
    """The name and the command line of a process; empty if there is no such process."""
    stat = _stat(pid)
    return (stat.name, _command(pid, stat)) if stat else ("", "")


def _command(pid: int, stat: _Stat) -> str:
    # One in state D is not asked for it, as that read may block too.
    text = b"" if stat.state == b"D" else _read(pid, "cmdline")
    return text.replace(b"\0", b" ").decode(errors="replace").strip()


def sockets(pid: int) -> list[int]:
    """The inode numbers of the sockets that a process has open."""
    inodes = []
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    inodes.append(int(target[8:-1]))
    return inodes


def text(pid: int, name: str) -> str:
    """The text of a file in /proc/PID; empty if it cannot be read."""
    return _read(pid, name).decode(errors="replace")


def _tasks(pid: int) -> list[Path]:
    try:
        return sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    except OSError:
        return []


def _thread(task: str, pid: int) -> str:
    stat = _read(pid, f"task/{task}/stat")
    state = _Stat(stat).state.decode() if stat else "?"
    where = text(pid, f"task/{task}/wchan")
    return f"state {state}" + (f" in {where}" if where not in ("", "0") else "")


class _Stat:
    """The fields of /proc/PID/stat that are needed here."""

    def __init__(self, text: bytes) -> None:
        # The name in parentheses may contain anything, even spaces and parentheses.
        fields = text[text.rindex(b")") + 1 :].split()
        self.name = text[text.index(b"(") + 1 : text.rindex(b")")].decode(errors="replace")
        self.state = fields[0]
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.ticks = sum(map(int, fields[11:15]))
        self.started = int(fields[19])
        self.resident = int(fields[21]) * PAGE


def _stat(pid: int) -> _Stat | None:
    text = _read(pid, "stat")
    return _Stat(text) if text else None


def _tag(pid: int) -> int | None:
    import resource  # imported late: queries need none

    try:
        soft, _ = resource.prlimit(pid, TAG_LIMIT)
    except PermissionError:  # of another user, as with sudo: everyone may read it, but not so fast
        _, found, rest = _read(pid, "limits").partition(_TAG)
        word = rest.split(maxsplit=1)[0] if found else b""
        soft = int(word) if word.isdigit() else 0
    except OSError:  # it has just ended
        return None
    return soft if soft >= LEAST_TAG else None


def _mark(pid: int) -> str | None:
    _, found, rest = (b"\0" + _read(pid, "environ")).partition(b"\0" + _MARK)
    return rest.partition(b"\0")[0].decode(errors="replace") if found else None


def _link(pid: int, name: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/{name}")  # noqa: PTH115 (faster)
    return ""


def _read(pid: int, name: str) -> bytes:
    """Reads a whole file; without pathlib, since this runs for each process of the node."""
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123
            return file.readall()
    except OSError:  # gone, or not ours to read
        return b""
