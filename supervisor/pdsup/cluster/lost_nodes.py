"""Reports nodes that stop answering, and those that are back.

Only the first node does this: it follows all others, so the journal gets one entry for each loss.
A node is lost when it has answered this run and now fails to; one that announced its end, or never
answered, is not. The ledger keeps the lost nodes, so that a new agent neither reports a loss twice
nor misses a return.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from pdsup import clock
from pdsup.cluster.report import Peer
from pdsup.journal.entry import Happening
from pdsup.node.assignment import Assignment
from pdsup.units.ledger import LedgerFile


class LostNodes:
    """The nodes that one agent has lost. ``inherited``: those that an earlier agent lost."""

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
        """Takes in the latest about another node. One that answers for another plan is not lost."""
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
