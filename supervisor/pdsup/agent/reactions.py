"""Lets the parts of a node react to what happened, in a fixed order.

Two things happen: a unit of this node changes (``unit_host``), or what is known of another node
does (``PeerNews``). Both do at once what must not be seen half done, and leave the rest to
``Reactions``, which lets every part react once to all that happened in one turn of the loop. A
part takes in what is known by then, so it may be called at any time and as often as one likes.
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
from pdsup.units.runner import Runner

React = Callable[[], None]


class Reactions:
    """All parts that react, in their order, whenever ``due`` is set."""

    def __init__(self, due: asyncio.Event, parts: Sequence[React]) -> None:
        self._due = due
        self._parts = parts

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            for react in self._parts:
                react()


class PeerNews:
    """What another node reports, or that it can't be asked. ``count``: how often that changed."""

    def __init__(
        self,
        plan: Plan,
        peers: Peers,
        gates: Gates,
        at_once: Sequence[React],
        heard: Sequence[Callable[[Peer], None]],
        bell: Bell,
        due: asyncio.Event,
    ) -> None:
        """``at_once``: who must have reacted before anybody reads what is new; ``heard``: who
        wants to know of the one peer.
        """
        self.count = 0
        self._peers = peers
        self._gates = gates
        self._at_once = at_once
        self._heard = heard
        self._bell = bell
        self._due = due
        self._units_of: dict[str, list[str]] = {}
        for unit in plan.units:
            self._units_of.setdefault(unit.node, []).append(unit.name)

    def changed(self, node: str) -> None:
        """Something else is known of a node."""
        self._gates.forget(self._units_of.get(node, ()))
        for react in self._at_once:
            react()
        self.count += 1
        self._bell.ring()
        self._due.set()
        for hear in self._heard:
            hear(self._peers.peers[node])


class WaitingUnits:
    """The units of this node that wait for their gates."""

    def __init__(self, runners: Mapping[str, Runner], gates: Gates) -> None:
        self._runners = runners
        self._gates = gates

    def react(self) -> None:
        """Has the paths tried that their gates ask about, and has them look at their gates."""
        waiting = {
            name: runner
            for name, runner in self._runners.items()
            if isinstance(runner.facts.state, states.Waiting)
        }
        self._gates.inquire((name, runner.facts.run == 0) for name, runner in waiting.items())
        for runner in waiting.values():
            runner.tell(events.GateChanged())
