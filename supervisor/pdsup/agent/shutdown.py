"""The end of an agent: with its units, or without them where a successor takes them over."""

from __future__ import annotations

import asyncio
import sys

from pdsup.cluster import ending_rules
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import Look, Peer
from pdsup.errors import SupervisorError
from pdsup.journal.news import Log
from pdsup.plan.model import Plan
from pdsup.units.ledger import LedgerFile
from pdsup.units.process.guardian_link import REPLACE, GuardianLink
from pdsup.units.process.spawn import Spawner

# What must work before an agent hands over to one that may have newer code.
TRIAL = (sys.executable, "-c", "import pdsup.launch")
TRIAL_S = 60.0


class Shutdown:
    """Whether this agent is to end. Whoever asks first gives the reason that is reported.

    ``leaves_units``: another agent takes them over at once.
    """

    def __init__(
        self, plan: Plan, own_report: OwnReport, ledger: LedgerFile, look: Look, log: Log
    ) -> None:
        self._plan = plan
        self._own_report = own_report
        self._ledger = ledger
        self._look = look
        self._log = log
        self._due = asyncio.Event()
        self.leaves_units = False

    def begin(self, reason: str, *, of_cluster: bool) -> None:
        """Ends this node's units, and those of all nodes if wanted."""
        if not self._due.is_set() or of_cluster:
            self._log.info("ending", reason=reason, of_cluster=of_cluster)
            self._own_report.publish_end(reason, of_cluster=of_cluster)
            self._ledger.note_end(reason, of_cluster=of_cluster)
        self._due.set()

    def leave_units(self) -> bool:
        """Ends the agent alone; False where its units are being ended."""
        if self._due.is_set():
            return False
        self.leaves_units = True
        self._due.set()
        return True

    async def wait(self) -> None:
        """Returns once the agent is to end."""
        await self._due.wait()

    def react(self) -> None:
        """Ends the cluster when the benchmark has ended."""
        self._end_cluster(ending_rules.reason(self._plan, self._look))

    def peer_changed(self, peer: Peer) -> None:
        """Ends the cluster here too when another node says that it ends."""
        if peer.usable and peer.usable.ends_cluster:
            self._end_cluster(f"{peer.node} ends the cluster: {peer.usable.ending}")

    def _end_cluster(self, reason: str | None) -> None:
        if reason is not None and not self._own_report.ends_cluster:
            self.begin(reason, of_cluster=True)


class HandOver:
    """Ends this agent and leaves its units to the next one, which the guardian starts at once."""

    def __init__(
        self, node: str, guardian: GuardianLink, spawner: Spawner, shutdown: Shutdown, log: Log
    ) -> None:
        self._node = node
        self._guardian = guardian
        self._spawner = spawner
        self._shutdown = shutdown
        self._log = log

    async def check(self) -> None:
        """Raises SupervisorError where there is no guardian, or the code can't be loaded."""
        if self._guardian.pid is None:
            raise SupervisorError(f"cannot reload the agent of {self._node}: it has no guardian")
        if (complaint := await self._spawner.complaint(TRIAL, TRIAL_S)) is not None:
            raise SupervisorError(f"cannot reload the agent of {self._node}: {complaint}")

    def begin(self) -> None:
        """Raises SupervisorError where the units are being ended."""
        if not self._shutdown.leave_units():
            raise SupervisorError(f"cannot reload the agent of {self._node}: it ends its units")
        self._log.info("handing over to a new agent")
        self._guardian.say(REPLACE)
