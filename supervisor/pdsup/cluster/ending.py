"""Stops this node's units in order: each after the units in front of it, on whatever node.

The decisions are in ``cluster/ending_rules.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdsup import clock
from pdsup.bell import Bell
from pdsup.cluster import ending_rules
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from pdsup.cluster.report import Peer
from pdsup.plan.model import Plan
from pdsup.units import events
from pdsup.units.runner import Runner
from pdsup.units.states import FOREVER

# Slurm signals all nodes of a job almost at once. A node that has not reported by then that it is
# ending too is assumed to keep running.
ANNOUNCE_S = 1.0
# There is no event when a time limit passes: how often to check them while ending.
LOOK_S = 0.25
HURRY_S = 1.0
# How long an agent whose units have ended stays so that the others learn of the cluster's end:
# MEET_S for every node, even one it can't reach yet because either may just have started;
# LINGER_S more for those it can reach.
MEET_S = 2.0
LINGER_S = 3.0


class Ending:
    """The end of one node's units."""

    def __init__(
        self,
        plan: Plan,
        runners: Mapping[str, Runner],
        own_report: OwnReport,
        peers: Peers,
        bell: Bell,
    ) -> None:
        self._plan = plan
        self._runners = runners
        self._own_report = own_report
        self._peers = peers
        self._bell = bell
        self._in_front = ending_rules.dependents(plan)
        self._patience = ending_rules.patience(plan)
        self._asked: set[str] = set()
        self._began = FOREVER

    async def end(self) -> None:
        """Stops all units of this node; returns when none is left, even one slow to die of SIGKILL.

        Call it once.
        """
        self._began = clock.monotonic()
        in_front = {other for name in self._runners for other in self._in_front[name]}
        self._peers.follow(
            {self._plan.by_name[name].node for name in in_front - self._runners.keys()}
        )
        while not self._all_settled():
            self._stop(self._stoppable(), events.Stop(reason=self._reason))
            await self._bell.wait_until(
                lambda: self._all_settled() or bool(self._stoppable()), LOOK_S
            )

    def hurry(self) -> None:
        """Stops all units now, in no order, and kills those left after ``HURRY_S``."""
        self._stop(list(self._runners), events.Stop(HURRY_S, self._reason))

    @property
    def _reason(self) -> str:
        return self._own_report.ending or "the node is ending"

    async def linger(self) -> None:
        """Waits, for a limited time, until the other nodes know that the cluster ends."""
        if not self._own_report.ends_cluster:
            return
        if not await self._bell.wait_until(lambda: not self._unaware(), MEET_S):
            await self._bell.wait_until(
                lambda: not any(peer.usable for peer in self._unaware()), LINGER_S
            )

    def _unaware(self) -> list[Peer]:
        return [peer for peer in self._peers.peers.values() if not _aware(peer)]

    def _stop(self, names: list[str], order: events.Stop) -> None:
        for name in names:
            self._asked.add(name)
            self._runners[name].tell(order)

    def _all_settled(self) -> bool:
        return all(ending_rules.settled(self._own_report.units[name]) for name in self._runners)

    def _stoppable(self) -> list[str]:
        passed = clock.monotonic() - self._began
        return [
            name
            for name in self._runners
            if name not in self._asked
            and (
                passed > self._patience[name]
                or not any(self._in_the_way(other, passed) for other in self._in_front[name])
            )
        ]

    def _in_the_way(self, other: str, passed: float) -> bool:
        if other in self._runners:
            return not ending_rules.settled(self._own_report.units[other])
        peer = self._peers.peers[self._plan.by_name[other].node]
        if peer.report and ending_rules.settled(peer.report.unit(other)):
            return False
        # Wait for an unreachable node, too: its agent may just be starting.
        return passed < ANNOUNCE_S or bool(peer.usable and peer.usable.ending)


def _aware(peer: Peer) -> bool:
    """Whether a node knows that the cluster ends, or has ended already."""
    last = peer.report
    return bool(last and (last.ends_cluster or (last.ending and peer.problem)))
