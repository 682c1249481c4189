"""Tells which nodes can't be asked any more: the first node does, which follows all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from supervisor import clock
from supervisor.agent.journal import Happening
from supervisor.cluster.report import Peer
from supervisor.plan.model import Plan


class Overseer:
    """What one agent saw of the others. A node that was never there is not lost."""

    def __init__(self, plan: Plan, node: str, tell: Callable[[Happening], None]) -> None:
        self._oversees = plan.nodes[0].name == node
        self._tell = tell
        self._there: set[str] = set()
        self._lost: set[str] = set()

    def follow(self, peer: Peer) -> None:
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
                self._happened("NodeBack", node, f"{node} answers again")
        elif self._is_gone(peer) and node not in self._lost:
            self._lost.add(node)
            self._happened("NodeLost", node, f"{node}: {peer.problem}")

    def _is_gone(self, peer: Peer) -> bool:
        ended = peer.report is not None and peer.report.ending is not None
        return peer.node in self._there and peer.failing is not None and not ended

    def _happened(self, event: Literal["NodeLost", "NodeBack"], node: str, reason: str) -> None:
        self._tell(Happening(clock.monotonic(), None, None, event, reason, {"node": node}))
