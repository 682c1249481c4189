"""Lets the parts of a node react to changes, in a fixed order.

There are two sources of change: a unit of this node (``unit_host``), and what is known of another
node (``PeerNews``). Both do at once what must not be seen half done, and leave the rest to
``Reactions``, which calls every part once for all changes in one turn of the event loop. A part
reads the current state each time, so extra calls do no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from pdsup.bell import Bell
from pdsup.cluster.gate import Gates
from pdsup.cluster.peers import Peers
from pdsup.cluster.report import Peer
from pdsup.plan.model import Plan
from pdsup.units import events, states
from pdsup.units.process.defects import Defects
from pdsup.units.runner import Runner

React = Callable[[], None]


class Reactions:
    """Calls all parts, in order, whenever ``due`` is set."""

    def __init__(self, due: asyncio.Event, parts: Sequence[React], defects: Defects) -> None:
        self._due = due
        self._parts = parts
        self._defects = defects

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            for react in self._parts:
                with self._defects.contained(react.__qualname__):
                    react()


class PeerNews:
    """Takes in news of other nodes: a new report, or a problem. ``count``: how many so far."""

    def __init__(
        self,
        plan: Plan,
        peers: Peers,
        gates: Gates,
        at_once: Sequence[React],
        heard: Sequence[Callable[[Peer], None]],
        bell: Bell,
        due: asyncio.Event,
        defects: Defects,
    ) -> None:
        """``at_once``: called before anyone can read a report that reflects the news. ``heard``:
        called with the peer that has news.
        """
        self.count = 0
        self._peers = peers
        self._gates = gates
        self._at_once = at_once
        self._heard = heard
        self._bell = bell
        self._due = due
        self._defects = defects
        self._units_of: dict[str, list[str]] = {}
        for unit in plan.units:
            self._units_of.setdefault(unit.node, []).append(unit.name)

    def changed(self, node: str) -> None:
        """Takes in that a node has a new report, or another problem."""
        self._gates.forget(self._units_of.get(node, ()))
        for react in self._at_once:
            with self._defects.contained(react.__qualname__):
                react()
        self.count += 1
        self._bell.ring()
        self._due.set()
        for hear in self._heard:
            with self._defects.contained(hear.__qualname__):
                hear(self._peers.peers[node])


class WaitingUnits:
    """Lets this node's waiting units check their gates."""

    def __init__(self, runners: Mapping[str, Runner], gates: Gates) -> None:
        self._runners = runners
        self._gates = gates

    def react(self) -> None:
        """Tries the ports that the gates depend on, and sends GateChanged to the waiting units."""
        waiting = {
            name: runner
            for name, runner in self._runners.items()
            if isinstance(runner.facts.state, states.Waiting)
        }
        self._gates.inquire((name, runner.facts.never_ran) for name, runner in waiting.items())
        for runner in waiting.values():
            runner.tell(events.GateChanged())
