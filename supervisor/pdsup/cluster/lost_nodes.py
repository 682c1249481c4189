"""Tells which nodes are lost, that is, no longer answer: the first node does, which follows all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from pdsup import clock
from pdsup.cluster.report import Peer
from pdsup.journal.entry import Happening
from pdsup.node.assignment import Assignment
from pdsup.units.ledger import LedgerFile


class LostNodes:
    """What one agent saw of the others. A node that was never there is not lost.

    ``ledger`` keeps the nodes that are lost: the agent that takes over tells when they are back.
    ``inherited``: those that an earlier agent lost.
    """

    def __init__(
        self,
        assignment: Assignment,
        tell: Callable[[Happening], None],
        ledger: LedgerFile,
        inherited: Collection[str],
    ) -> None:
        self._oversees = assignment.plan.nodes[0].name == assignment.place.node
        self._ledger = ledger
        self._tell = tell
        self._there: set[str] = set()
        self._lost = set(inherited)

    def peer_changed(self, peer: Peer) -> None:
        """Takes in what is known of another node. One that said that it ends is not lost, and one
        that answers, if only for another plan, neither.
        """
        if not self._oversees:
            return
        node = peer.node
        if peer.usable is not None:
            self._there.add(node)
            if node in self._lost:
                self._lost.remove(node)
                self._happened("NodeBack", f"{node} answers again", {"node": node})
        elif self._is_gone(peer) and node not in self._lost:
            self._lost.add(node)
            facts = {"node": node, "problem": peer.problem}
            self._happened("NodeLost", f"{node}: {peer.problem}", facts)

    def _is_gone(self, peer: Peer) -> bool:
        ended = peer.report is not None and peer.report.ending is not None
        return peer.node in self._there and peer.failing is not None and not ended

    def _happened(
        self, event: Literal["NodeLost", "NodeBack"], reason: str, facts: Mapping[str, Any]
    ) -> None:
        self._ledger.note_lost(self._lost)
        self._tell(Happening(clock.monotonic(), None, None, event, reason, facts))
