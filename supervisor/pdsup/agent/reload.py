"""Moves one node from its plan to the next: stops units that leave, and hands over to a new agent.

An operator changes the plan through one agent; the others see its digest in that agent's report and
follow. Units that the changed plan no longer contains are stopped by this agent, which still knows
how; everything else is left to the new one (``cluster/rollout.py``).

Any step may be the last before a crash, and two operators may change the plan at once. What must
never happen: an agent ends without a successor that can load the plan, or nodes settle on different
plans. So the plan is checked and kept on the node before anything is stopped; the ledger notes the
change, and a new agent resumes it; the plan in the run directory, which all nodes share, decides
between two; and while a change is under way, another is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pdsup.agent.commands import Commands
from pdsup.agent.shutdown import HandOver
from pdsup.cluster import ending_rules
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from pdsup.cluster.report import Look, Peer
from pdsup.errors import InvalidDocument, SupervisorError
from pdsup.journal.news import Log
from pdsup.node import kept_plans, run_dir
from pdsup.node.assignment import Assignment
from pdsup.node.origin import Origin
from pdsup.node.paths import PLAN_FILE
from pdsup.plan import difference
from pdsup.plan.compile import load
from pdsup.plan.compile.load import Loaded
from pdsup.plan.difference import Difference
from pdsup.plan.document import source
from pdsup.threads import Turns
from pdsup.times import duration
from pdsup.units.ledger import LedgerFile

# Longer than a unit takes to stop, if it can be stopped at all.
LEAVE_S = 300.0
# How often to check the run directory: a shared file system may show a change later than a report
# that mentions it.
LOOK_S = 1.0
# The largest recipes compile in a few seconds; the file system may hang.
READ_S = 20.0

T = TypeVar("T")


class Reload:
    """The plan of one node, and its change to the next."""

    def __init__(
        self,
        assignment: Assignment,
        own_report: OwnReport,
        peers: Peers,
        look: Look,
        commands: Commands,
        ledger: LedgerFile,
        hand_over: HandOver,
        tasks: asyncio.TaskGroup,
        log: Log,
    ) -> None:
        self._assignment = assignment
        self._run_dir = Path(assignment.place.run_dir)
        self._own_report = own_report
        self._peers = peers
        self._look = look
        self._commands = commands
        self._ledger = ledger
        self._hand_over = hand_over
        self._group = tasks
        self._log = log
        self._changing: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._placing = False
        self._refused: set[str] = set()
        self._turns = Turns()

    async def preview(self, file: str | None) -> tuple[Loaded, Difference]:
        """The plan that the run's file, or ``file``, compiles to now, and its changes.

        Raises SupervisorError if the run can't change to it.
        """
        loaded, changes, _ = await self._read(file)
        return loaded, changes

    async def _read(self, file: str | None) -> tuple[Loaded, Difference, Origin]:
        origin = await self._origin()
        if file is not None:
            origin = replace(origin, file=file, variant=None, overrides=())
        plan = self._assignment.plan
        loaded = await self._files(lambda: self._load(origin), origin.file)
        if (reason := difference.refusal(plan, loaded.plan)) is not None:
            raise SupervisorError(f"cannot apply {origin.file}: {reason}")
        reports = [report for name in plan.by_name if (report := self._look(name))]
        fingerprints = {report.name: report.made for report in reports if report.made}
        return loaded, difference.difference(plan, loaded.plan, fingerprints), origin

    def _load(self, origin: Origin) -> Loaded:
        plan = self._assignment.plan
        loaded = load.load(
            Path(origin.file),
            nodes=plan.nodes,
            bind=plan.bind,
            engine=origin.engine,
            overrides=origin.overrides,
            variant=origin.variant,
        )
        if not self._assignment.place.allow_writable:
            file, _ = source.selector(Path(origin.file), origin.variant)
            run_dir.refuse_writable(f"apply {file}", self._run_dir, file, loaded.plan.hooks)
        return loaded

    async def change(self, file: str | None) -> tuple[Loaded, Difference]:
        """Begins to change all nodes to the plan of ``preview``; does nothing if it is the same.

        Raises SupervisorError if it can't; then nothing has changed.
        """
        loaded, changes, origin = await self._read(file)
        if loaded.digest == self._assignment.digest:
            self._refuse_if_under_way()
            await self._place(loaded, origin)  # it may have been edited
            return loaded, changes
        self._refuse_if_alone()
        await self._keep(loaded)
        self._refuse_if_under_way()
        self._ledger.note_next(loaded.digest)
        self._placing = True  # no other change may begin meanwhile
        try:
            await self._place(loaded, origin)
        except SupervisorError:
            self._ledger.note_next("")
            raise
        finally:
            self._placing = False
        self._begin(self._change_over(loaded))
        return loaded, changes

    async def _place(self, loaded: Loaded, origin: Origin) -> None:
        def place() -> None:
            run_dir.replace_plan(self._run_dir, loaded.text, origin, loaded.mode)

        await self._files(place, PLAN_FILE, "write")

    async def _files(self, work: Callable[[], T], name: str, verb: str = "read") -> T:
        """Reads or writes files in a thread, as a file system may hang; raises SupervisorError if
        it does.
        """
        try:
            return await self._turns.run(work, READ_S)
        except TimeoutError:
            raise SupervisorError(
                f"cannot {verb} {name}: no answer within {duration(READ_S)}"
            ) from None

    async def _origin(self) -> Origin:
        return await self._files(lambda: run_dir.origin_of(self._run_dir), "the plan's origin")

    async def _shared_digest(self) -> str:
        return await self._files(lambda: run_dir.plan_digest(self._run_dir), PLAN_FILE)

    def resume(self, plan: str) -> None:
        """Continues a change that an earlier agent began; ``plan`` is its digest, "" for none."""
        if plan:
            self._begin(self._resume(plan))

    async def _resume(self, plan: str) -> None:
        """Continues the change, unless the run directory has yet another plan by now."""
        shared = await self._shared_digest()
        state_dir = Path(self._assignment.place.state_dir)
        loaded = kept_plans.kept(state_dir, plan)
        if loaded is None or shared not in (self._assignment.digest, plan):
            self._ledger.note_next("")
            return
        await self._place(loaded, await self._origin())
        await self._keep(loaded)
        await self._change_over(loaded)

    def hear(self) -> None:
        """Reads the plan again, on SIGHUP; the outcome goes to the log."""
        # One HUP may arrive twice: the guardian passes on its own.
        if self._hearing is None or self._hearing.done():
            self._hearing = self._group.create_task(self._reported(self._change_if_needed()))

    async def _change_if_needed(self) -> None:
        loaded, _ = await self.change(None)
        if loaded.digest == self._assignment.digest:
            self._log.info("the plan has not changed")

    def peer_changed(self, peer: Peer) -> None:
        """Begins to follow a node that has a changed plan which this node lacks."""
        if self._is_ahead(peer) and (self._following is None or self._following.done()):
            self._following = self._group.create_task(self._follow())

    def _is_ahead(self, peer: Peer) -> bool:
        """Whether a node may have changed to a plan that this one lacks.

        Two nodes told at once to change to different plans are ahead of each other; then the plan
        in the run directory decides.
        """
        report = peer.usable
        if report is None or report.plan in (self._assignment.digest, *self._refused):
            return False
        own = {self._assignment.digest, *self._assignment.former}
        return not own.isdisjoint(report.former)

    async def close(self) -> None:
        """Cancels a change that is under way."""
        tasks = [task for task in (self._changing, self._hearing, self._following) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, work: Awaitable[None]) -> None:
        self._changing = self._group.create_task(self._reported(work))

    async def _reported(self, work: Awaitable[None]) -> None:
        try:
            await work
        except SupervisorError as error:
            self._log.warning("cannot apply the changed plan", cause=complaint(error))
        except Exception as error:  # the node goes on with the plan that it has
            self._log.warning("cannot apply the changed plan", cause=repr(error))

    @property
    def _is_under_way(self) -> bool:
        return self._placing or (self._changing is not None and not self._changing.done())

    def _refuse_if_under_way(self) -> None:
        if self._is_under_way:
            raise SupervisorError("cannot reload the plan: another change is under way")

    def _refuse_if_alone(self) -> None:
        """Refuses a change if any agent has no guardian: it would get no successor."""
        self._refuse_if_under_way()
        for peer in self._peers.peers.values():
            report = peer.usable
            if report is not None and not report.ending and report.agent.guardian_pid is None:
                raise SupervisorError(
                    f"cannot reload the plan: the agent of {peer.node} has no guardian to start "
                    "its successor"
                )

    async def _follow(self) -> None:
        """Tries to catch up while a node is ahead, whenever no change is under way here."""
        while ahead := self._plans_ahead():
            if not self._is_under_way:
                self._begin(self._catch_up(ahead))
            await asyncio.sleep(LOOK_S)

    def _plans_ahead(self) -> set[str]:
        peers = self._peers.peers.values()
        return {peer.report.plan for peer in peers if peer.report and self._is_ahead(peer)}

    async def _catch_up(self, ahead: Collection[str]) -> None:
        # This agent may have been started late, with an older file, and overwritten the run's plan.
        displaced = self._assignment.displaced
        shared = await self._shared_digest()
        if displaced in ahead and shared == self._assignment.digest:
            await self._files(
                lambda: run_dir.put_back(self._run_dir, displaced), PLAN_FILE, "write"
            )
            shared = displaced
        loaded = None
        if shared in ahead:
            loaded = await self._files(lambda: kept_plans.shared(self._run_dir, shared), PLAN_FILE)
        if loaded is not None:
            self._refused.add(shared)  # try a plan only once: what made it fail would do so again
            await self._keep(loaded)
            await self._change_over(loaded)

    async def _keep(self, loaded: Loaded) -> None:
        """Keeps a plan for the next agent. Raises SupervisorError if that could not start."""
        await self._hand_over.check()
        state_dir = self._assignment.place.state_dir
        if not kept_plans.keep(Path(state_dir), loaded):
            raise SupervisorError(f"cannot keep the changed plan in {state_dir}")

    async def _change_over(self, loaded: Loaded) -> None:
        node = self._assignment.place.node
        names = difference.leaving(self._assignment.plan, loaded.plan, node)
        self._log.info("applying the changed plan", plan=loaded.digest[:12], stopping=names)
        self._commands.stop_leaving(names)

        def left() -> list[str]:
            units = self._own_report.units
            return [name for name in names if not ending_rules.settled(units[name])]

        if not await self._own_report.bell.wait_until(lambda: not left(), LEAVE_S):
            self._ledger.note_next("")
            raise SupervisorError(
                f"cannot stop {', '.join(left())}, which the changed plan no longer contains"
            )
        try:
            self._hand_over.refuse_if_alone()
        except SupervisorError:
            self._ledger.note_next("")
            raise
        self._ledger.adopt(loaded.digest)
        self._hand_over.begin()


def complaint(error: SupervisorError) -> str:
    """The error and each problem behind it, one per line."""
    if not isinstance(error, InvalidDocument):
        return str(error)
    return "\n".join((str(error), *(problem.at(error.file) for problem in error.problems)))
