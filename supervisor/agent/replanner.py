"""Takes one node from its plan to the next: looks at what changes, and makes way.

What the node does not have any more is ended by this agent, which knows how. Everything else is
left to the next one: see ``agent/renewer.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from supervisor.agent.announcer import Log
from supervisor.agent.operator import Operator
from supervisor.agent.publisher import Bell, Publisher
from supervisor.assignment import archiver, reader
from supervisor.assignment.compile import Assignment
from supervisor.assignment.origin import Origin
from supervisor.cluster import gate
from supervisor.cluster.gate import Look
from supervisor.cluster.poller import Poller
from supervisor.cluster.report import Peer
from supervisor.errors import InvalidDocument, SupervisorError
from supervisor.plan import changes, loader
from supervisor.plan.changes import Difference
from supervisor.plan.loader import Loaded
from supervisor.units.bookkeeper import Bookkeeper

# Longer than anything takes that can be ended at all.
LEAVE_S = 300.0
# A shared file system may show the changed file later than the network tells of it.
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Hands:
    """What an agent does for it. ``check`` raises SupervisorError where ``make_way`` would."""

    check: Callable[[], Awaitable[None]]
    make_way: Callable[[], None]
    operator: Operator
    bookkeeper: Bookkeeper
    look: Look


class Replanner:
    """The plan of one node and what may follow it."""

    def __init__(
        self,
        assignment: Assignment,
        publisher: Publisher,
        poller: Poller,
        hands: Hands,
        bell: Bell,
        tasks: asyncio.TaskGroup,
        log: Log,
    ) -> None:
        self._assignment = assignment
        self._run_dir = Path(assignment.place.run_dir)
        self._publisher = publisher
        self._poller = poller
        self._hands = hands
        self._bell = bell
        self._group = tasks
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._refused: set[str] = set()

    async def preview(self, file: str | None) -> tuple[Loaded, Difference]:
        """The plan that the run's file, or another one, gives by now, and what differs.

        Raises SupervisorError where the run can't go on with it.
        """
        loaded, found, _ = await self._read(file)
        return loaded, found

    async def _read(self, file: str | None) -> tuple[Loaded, Difference, Origin]:
        origin = reader.origin_of(self._run_dir)
        if file is not None:
            origin = replace(origin, file=file, variant=None, overrides=())
        plan = self._assignment.plan
        loaded = await asyncio.to_thread(
            loader.load,
            Path(origin.file),
            nodes=plan.nodes,
            bind=plan.bind,
            engine=origin.engine,
            overrides=origin.overrides,
            variant=origin.variant,
        )
        if (reason := changes.refusal(plan, loaded.plan)) is not None:
            raise SupervisorError(f"cannot go on with {origin.file}: {reason}")
        reports = [report for name in plan.by_name if (report := self._hands.look(name))]
        made = {report.name: report.made for report in reports if report.made}
        return loaded, changes.difference(plan, loaded.plan, made), origin

    async def change(self, file: str | None) -> tuple[Loaded, Difference]:
        """Begins to go over to what ``preview`` gives, with all nodes; nothing where it is equal.

        Raises SupervisorError where it can't; then nothing has changed.
        """
        loaded, found, origin = await self._read(file)
        if loaded.digest == self._assignment.digest:
            return loaded, found
        self._refuse_if_alone()
        await self._keep(loaded)
        self._refuse_if_under_way()
        reader.replace_plan(self._run_dir, loaded.text, origin)
        self._begin(self._go_over(loaded))
        return loaded, found

    def hear(self) -> None:
        """Somebody sent SIGHUP: whatever comes of it stands in the log."""
        if self._hearing is None or self._hearing.done():  # the guardian passes it on, too
            self._hearing = self._group.create_task(self._reported(self._change_if_needed()))

    async def _change_if_needed(self) -> None:
        loaded, _ = await self.change(None)
        if loaded.digest == self._assignment.digest:
            self._log.info("the plan has not changed")

    def consider(self, peer: Peer) -> None:
        """Follows a node that has the next plan."""
        if (plan := self._next(peer)) and (self._task is None or self._task.done()):
            self._begin(self._follow(peer.node, plan))

    def _next(self, peer: Peer | None) -> str | None:
        """The digest of the plan that a node has taken in, and this one has not."""
        report = peer.usable if peer else None
        own = self._assignment.digest
        if report is None or report.plan == own or own not in report.former:
            return None
        return report.plan if report.plan not in self._refused else None

    def _begin(self, work: Awaitable[None]) -> None:
        self._task = self._group.create_task(self._reported(work))

    async def _reported(self, work: Awaitable[None]) -> None:
        try:
            await work
        except SupervisorError as error:
            self._log.warning("cannot take in the changed plan", cause=complaint(error))

    def _refuse_if_under_way(self) -> None:
        if self._task is not None and not self._task.done():
            raise SupervisorError("cannot reload the plan: a change of it is under way")

    def _refuse_if_alone(self) -> None:
        """An agent that nobody starts again can't follow."""
        self._refuse_if_under_way()
        for peer in self._poller.peers.values():
            report = peer.usable
            if report is not None and not report.ending and report.agent.guardian_pid is None:
                raise SupervisorError(
                    f"cannot reload the plan: the agent of {peer.node} has no guardian, which "
                    "would start its successor"
                )

    async def _follow(self, node: str, plan: str) -> None:
        while self._next(self._poller.peers.get(node)) == plan:
            loaded = await asyncio.to_thread(archiver.shared, self._run_dir, plan)
            if loaded is not None:
                self._refused.add(plan)  # once: what keeps this agent from it would do so again
                await self._keep(loaded)
                await self._go_over(loaded)
                return
            await asyncio.sleep(LOOK_S)

    async def _keep(self, loaded: Loaded) -> None:
        """For the next agent. Raises SupervisorError where there can be none."""
        await self._hands.check()
        state_dir = self._assignment.place.state_dir
        if not archiver.keep(Path(state_dir), loaded):
            raise SupervisorError(f"cannot keep the changed plan in {state_dir}")

    async def _go_over(self, loaded: Loaded) -> None:
        node = self._assignment.place.node
        names = changes.leaving(self._assignment.plan, loaded.plan, node)
        self._log.info("taking in the changed plan", plan=loaded.digest[:12], ending=names)
        self._hands.operator.command("stop", names)

        def gone() -> bool:
            return all(gate.settled(self._publisher.units[name]) for name in names)

        if not await self._bell.wait_until(gone, LEAVE_S):
            left = ", ".join(n for n in names if not gate.settled(self._publisher.units[n]))
            raise SupervisorError(f"cannot end {left}, which the changed plan has not any more")
        self._hands.bookkeeper.adopt(loaded.digest)
        self._hands.make_way()


def complaint(error: SupervisorError) -> str:
    """All that is wrong, in lines."""
    if not isinstance(error, InvalidDocument):
        return str(error)
    return "\n".join((str(error), *(problem.at(error.file) for problem in error.problems)))
