"""Makes again what somebody removes from an agent's directories while it runs.

systemd-tmpfiles sweeps directories for temporary files, people tidy up, file systems are unmounted.
What an agent has open works on, but commands no longer find its socket, other agents their token
and plan, a successor its ledger; and a second agent could take the lock. What is full, read-only or
hangs is tried again until it is not: then the node goes on with what it has in memory. The run
directory may hang, so only a thread touches it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from pdsup import files
from pdsup.errors import SupervisorError
from pdsup.front.front import Front
from pdsup.inotify import Removals
from pdsup.journal.news import Log
from pdsup.node import agent_files, kept_plans, paths, run_dir, state_dir
from pdsup.node.assignment import Assignment
from pdsup.node.origin import Origin
from pdsup.plan.compile.load import Loaded
from pdsup.threads import Turns
from pdsup.times import duration
from pdsup.units.ledger import LEDGER, LedgerFile

# All in seconds.
SETTLE_S = 0.2  # files that are removed together
RETRY_S = 1.0
LOOK_S = 30.0  # for what no event tells: another node removed it
WITHIN_S = 5.0


class Directories:
    """The node-local directory and the run directory of one agent."""

    def __init__(
        self,
        assignment: Assignment,
        token: str,
        lock: int,
        ledger: LedgerFile,
        front: Front,
        listen: Callable[[], Awaitable[bool]],
        log: Log,
    ) -> None:
        """``lock``: the descriptor that holds the lock of the node-local directory. ``listen``
        restores the control socket and returns whether that was missing.
        """
        place = assignment.place
        self._plan = Loaded(assignment.plan, assignment.text, assignment.digest)
        self._token = token
        self._lock = lock
        self._own, self._shared = Path(place.state_dir), Path(place.run_dir)
        self._ledger = ledger
        self._front = front
        self._listen = listen
        self._log = log
        self._node, self._noted = place.node, agent_files.place(self._own, place.environ)
        self._origin: Origin | None = None
        self._turns = Turns()
        self._removed = asyncio.Event()
        self._problems: dict[Path, str] = {}

    async def run(self) -> None:
        """Looks after them until cancelled."""
        with contextlib.closing(Removals()) as removals, self._hearing(removals):
            heard = False
            while True:
                made = await self._restored(self._own, self._restore_own(removals, heard=heard))
                made |= await self._restored(self._shared, self._restore_shared(removals))
                # Some of it may have been removed again before it was watched.
                heard = await self._next_removal(SETTLE_S if made else LOOK_S) or made

    @contextlib.contextmanager
    def _hearing(self, removals: Removals) -> Iterator[None]:
        def hear() -> None:
            removals.take()
            self._removed.set()

        loop = asyncio.get_running_loop()
        loop.add_reader(removals.fileno(), hear)
        try:
            yield
        finally:
            loop.remove_reader(removals.fileno())

    async def _next_removal(self, within: float) -> bool:
        """Waits for one, but not for ever; returns whether one was heard of."""
        heard = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(within, RETRY_S) if self._problems else within):
                heard = await self._removed.wait()
        await asyncio.sleep(SETTLE_S)
        self._removed.clear()
        return heard

    async def _restored(self, directory: Path, work: Awaitable[bool]) -> bool:
        """Logs what was made again, and once each reason why that is not possible."""
        try:
            made = await work
        except (OSError, SupervisorError) as error:
            problem = str(error) or f"no answer within {duration(WITHIN_S)}"
            if problem != self._problems.get(directory):
                self._problems[directory] = problem
                self._log.warning("directory is lost", directory=str(directory), cause=problem)
            return False
        self._problems.pop(directory, None)
        if made:
            self._log.warning("made again what was removed", directory=str(directory))
        return made

    async def _restore_own(self, removals: Removals, *, heard: bool) -> bool:
        own = self._own
        for directory in (own.parent, own, own / kept_plans.PLANS):
            removals.watch(directory)
        made = state_dir.restore(own, self._shared, self._lock)
        made |= await self._listen()
        made |= kept_plans.restore(own, self._plan)
        if not self._ledger.is_there:
            files.make_way(own / LEDGER)
            if not self._ledger.open():
                raise SupervisorError(f"cannot write {own / LEDGER}")
            made = True
        if heard or made:
            self._front.restore()
        return made

    async def _restore_shared(self, removals: Removals) -> bool:
        return await self._turns.run(lambda: self._restore_files(removals), WITHIN_S)

    def _restore_files(self, removals: Removals) -> bool:
        shared = self._shared
        for directory in (shared, shared / paths.JOURNALS, shared / paths.AGENTS):
            removals.watch(directory)
        missing = run_dir.missing(shared)
        if missing:
            plan = self._plan
            run_dir.restore(shared, plan.text, self._token, self._origin, plan.mode)
        else:
            self._origin = run_dir.origin_of(shared)
        return agent_files.restore(shared, self._node, self._noted) or missing
