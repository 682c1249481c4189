"""Kills what a unit leaves behind, proves that it is gone, and reaps the agent's orphans.

A unit has ended only when no process of it is left: a forgotten scheduler would hold the port or
the GPU memory that the next run needs. The kernel reports the end of one process, never that of a
tree, and a tree may fork while it is being killed. So the proof is a loop: find what belongs to the
run, kill it, and look again, until nothing is found. A process in state D survives SIGKILL; then
the loop gives up after a while and returns the survivors, and the unit is not called stopped. What
must never happen is that a stranger is killed: pids are reused, so each kill goes through a pidfd
whose start time was checked.

Processes that fork faster than they can be killed one by one are moved into a cgroup (version 2),
whose members the kernel kills all at once (``cgroup.kill``, Linux >= 5.14). This is the last
resort, since putting every unit into a cgroup when it starts would make each start wait for all
CPUs: the kernel's lock for such moves favours everyone else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from pdsup import clock
from pdsup.descriptor import Descriptor
from pdsup.units.process import proc, tree
from pdsup.units.process.guardian_link import GuardianLink
from pdsup.units.process.spawn import Spawner
from pdsup.units.process.tree import Identity, Leftover, Trace

PR_SET_CHILD_SUBREAPER = 36
# SIGKILL acts at once, except on a process in an uninterruptible wait (state D).
PROOF_S = 5.0
# Pauses between two looks. Most trees are gone at once; some free memory for seconds.
FIRST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.05
# A tree that survives this many rounds is probably forking: a cgroup kills it.
PLAIN_ATTEMPTS = 5


def become_subreaper() -> None:
    """Makes orphans below this process its children (prctl(2), Linux >= 3.4)."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a child subreaper")


class Reaper:
    """Finds, kills and reaps the agent's children that the agent did not start."""

    def __init__(self, spawner: Spawner, guardian: GuardianLink) -> None:
        self._spawner = spawner
        self._guardian = guardian
        self._kill_group = KillGroup()
        self._killed: dict[int, set[Identity]] = {}  # by the main process whose tree was killed
        self._living: list[int] | None = None
        self._leftovers: list[Leftover] | None = None
        self._others: list[Leftover] | None = None
        self._sweep_due = False

    def sweep(self) -> None:
        """Reaps every orphan that has ended; to be called on SIGCHLD, however many come at once."""
        if not self._sweep_due:
            self._sweep_due = True
            asyncio.get_running_loop().call_soon(self._sweep)

    async def end(self, trace: Trace, within: float = PROOF_S) -> list[int]:
        """Kills everything of the run with this trace, once its main process has been reaped.

        Returns the pids that are still alive after ``within`` seconds; call it again until there
        are none.
        """
        known = self._killed.setdefault(trace.session, set())

        def find() -> list[int]:
            seen = self._seen_anywhere() if trace.anywhere else self._seen()
            members = tree.members_of_run(seen, trace, known)
            known.update(process.identity for process in members)
            return [process.pid for process in members]

        survivors = await _end_all(find, within, self._kill_group)
        if not survivors:
            self._killed.pop(trace.session, None)
        return survivors

    async def end_everything(self) -> list[int]:
        """Kills all descendants of this process and of the guardian, at the end of the agent."""
        return await _end_all(self._everything, PROOF_S, self._kill_group)

    def kill_tree(self, main: int) -> None:
        """Sends SIGKILL to a main process and its descendants; ``end`` kills what they fork
        meanwhile.

        Does nothing once the process has been reaped, since its pid may have been reused.
        """
        if main in self._spawner.pids:
            self._killed.setdefault(main, set()).update(kill_tree(main))

    def _sweep(self) -> None:
        self._sweep_due = False
        self._spawner.hear_halts()
        self._orphans()

    def _everything(self) -> list[int]:
        return [*self._orphans(), *self._orphans_of_guardian(), *sorted(self._spawner.pids)]

    def _orphans_of_guardian(self) -> list[int]:
        """The guardian's children other than this agent: orphans of runs that were adopted."""
        if self._guardian.pid is None:
            return []
        known = {os.getpid(), *self._spawner.pids}
        return [
            pid
            for pid in proc.children(self._guardian.pid)
            if pid not in known and not proc.is_zombie(pid)
        ]

    def _seen(self) -> list[Leftover]:
        if self._leftovers is None:
            self._leftovers = [seen for pid in self._orphans() if (seen := proc.leftover(pid))]
        return self._leftovers

    def _seen_anywhere(self) -> list[Leftover]:
        """Every process on this node except the agent's main processes."""
        if self._others is None:
            everyone = (pid for pid in proc.everyone() if pid not in self._spawner.pids)
            seen = (proc.leftover(pid) for pid in everyone if not proc.is_zombie(pid))
            self._others = [each for each in seen if each]
            asyncio.get_running_loop().call_soon(self._look_again)
        return self._others

    def _orphans(self) -> list[int]:
        """The living children that the agent did not start; reaps the dead ones.

        Computed once per turn of the loop, so that many units that end together cost no more than
        one.
        """
        if self._living is None:
            orphans = set(proc.children(os.getpid())) - self._spawner.pids
            self._living = [pid for pid in sorted(orphans) if not _reaped(pid)]
            asyncio.get_running_loop().call_soon(self._look_again)
        return self._living

    def _look_again(self) -> None:
        self._living = self._leftovers = self._others = None


async def _end_all(find: Callable[[], list[int]], within: float, group: KillGroup) -> list[int]:
    """Kills the trees of the pids that ``find`` returns, until it returns none: only that proves
    that all are gone. Returns what is left after ``within`` seconds.
    """
    until = clock.monotonic() + within
    pause = FIRST_PAUSE_S
    for attempt in itertools.count():
        roots = find()
        group.tidy()
        if not roots or clock.monotonic() > until:
            return roots
        killed = [pid for root in roots for pid, _ in kill_tree(root)]
        if attempt >= PLAIN_ATTEMPTS:
            group.end(killed)
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE_S, pause * 1.5)
    raise AssertionError("itertools.count() does not end")


def end_now(find: Callable[[], list[int]]) -> list[int]:
    """Kills the pids that ``find`` returns, and their trees, without a running loop and without
    being their parent. Returns what survives ``PROOF_S`` seconds.
    """
    return asyncio.run(_end_all(find, PROOF_S, KillGroup()))


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def kill_tree(root: int) -> list[Identity]:
    """Sends SIGKILL to a process and its descendants; returns them."""
    doomed = proc.tree(root)
    for identity in doomed:
        kill(identity)
    return doomed


def kill(identity: Identity) -> None:
    """Sends SIGKILL through a pidfd: the pid of a process that is not our child may be reused."""
    pid, started = identity
    with (
        contextlib.suppress(ProcessLookupError, PermissionError),  # gone; not ours (sudo)
        contextlib.closing(Descriptor(os.pidfd_open(pid))) as pidfd,
    ):
        if proc.started(pid) == started:
            signal.pidfd_send_signal(pidfd.fileno(), signal.SIGKILL)


class KillGroup:
    """Kills processes that keep forking, in cgroups that it makes. ``root``: where /proc is."""

    def __init__(self, root: str = "/") -> None:
        self._own = _own_cgroup(Path(root))
        self._numbers = itertools.count()
        self._groups: list[Path] = []

    def end(self, pids: Iterable[int]) -> bool:
        """Kills processes and everything they fork; False where no cgroup can be made."""
        if self._own is None:
            return False
        group = self._own / f"pdsup-{os.getpid()}-{next(self._numbers)}"
        try:
            group.mkdir()
            self._groups.append(group)
            for pid in pids:
                with contextlib.suppress(OSError):  # the process has just ended
                    (group / "cgroup.procs").write_text(str(pid))
            (group / "cgroup.kill").write_text("1")
        except OSError:  # not allowed, or a kernel before 5.14
            self._own = None
        return self._own is not None

    def tidy(self) -> None:
        """Removes the cgroups that are empty by now."""
        left = []
        for group in self._groups:
            try:
                group.rmdir()
            except FileNotFoundError:
                pass
            except OSError:
                left.append(group)
        self._groups = left


def _own_cgroup(root: Path) -> Path | None:
    """The directory of this process's cgroup (version 2), if there is one."""
    with contextlib.suppress(OSError):
        mounts = (line.split() for line in (root / "proc/self/mountinfo").read_text().splitlines())
        mount = next((words[4] for words in mounts if words[-3] == "cgroup2"), None)
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        path = next((line[3:] for line in lines if line.startswith("0::")), None)
        if mount and path:
            return Path(mount, path.lstrip("/"))
    return None
