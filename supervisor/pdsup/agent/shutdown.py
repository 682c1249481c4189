"""The end of an agent: with its units, or without them when a successor takes them over."""

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

# A command that must succeed before an agent hands over: the successor may load newer code.
TRIAL = (sys.executable, "-P", "-c", "import pdsup.launch")
TRIAL_S = 60.0


class Shutdown:
    """Whether this agent should end, and why; the first reason given is the one reported.

    ``leaves_units``: its units keep running, for a successor that takes them over at once.
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
        """Begins to stop this node's units, or those of all nodes."""
        if not self._due.is_set() or of_cluster:
            self._log.info("ending", reason=reason, of_cluster=of_cluster)
            self._own_report.publish_end(reason, of_cluster=of_cluster)
            self._ledger.note_end(reason, of_cluster=of_cluster)
        self._due.set()

    def leave_units(self) -> bool:
        """Begins to end the agent alone; returns False if its units are being stopped already."""
        if self._due.is_set():
            return False
        self.leaves_units = True
        self._own_report.publish_hand_over()
        self._due.set()
        return True

    async def wait(self) -> None:
        """Returns once the agent should end."""
        await self._due.wait()

    def react(self) -> None:
        """Ends the cluster when the run is over."""
        self._end_cluster(ending_rules.reason(self._plan, self._look))

    def peer_changed(self, peer: Peer) -> None:
        """Ends the cluster here too when another node says that it ends."""
        if peer.usable and peer.usable.ends_cluster:
            self._end_cluster(peer.usable.ending)

    def _end_cluster(self, reason: str | None) -> None:
        if reason is not None and not self._own_report.ends_cluster:
            self.begin(reason, of_cluster=True)


class HandOver:
    """Ends this agent and leaves its units to a successor, which the guardian starts at once."""

    def __init__(
        self, node: str, guardian: GuardianLink, spawner: Spawner, shutdown: Shutdown, log: Log
    ) -> None:
        self._node = node
        self._guardian = guardian
        self._spawner = spawner
        self._shutdown = shutdown
        self._log = log

    async def check(self) -> None:
        """Raises SupervisorError if there is no guardian, or a successor can't load its code."""
        self.refuse_if_alone()
        if (complaint := await self._spawner.complaint(TRIAL, TRIAL_S)) is not None:
            raise SupervisorError(f"cannot reload the agent of {self._node}: {complaint}")

    def refuse_if_alone(self) -> None:
        """Raises SupervisorError if there is no guardian, which may have died since ``check``."""
        if self._guardian.pid is None:
            raise SupervisorError(f"cannot reload the agent of {self._node}: it has no guardian")

    def begin(self) -> None:
        """Begins to hand over. Raises SupervisorError if no successor would come, or the units are
        being stopped already.
        """
        self.refuse_if_alone()
        if not self._shutdown.leave_units():
            raise SupervisorError(f"cannot reload the agent of {self._node}: it is ending")
        self._log.info("handing over to a new agent")
        self._guardian.say(REPLACE)
