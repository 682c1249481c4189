"""Lets the units of one node begin anew that the plan has changed while they ran.

What it decides is in ``cluster/rollout_rules.py``. Which runs are outdated stands in the notes
about them, so the successor of an agent that is killed meanwhile carries on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from pdsup import clock
from pdsup.cluster import rollout_rules
from pdsup.cluster.gate import Gates
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from pdsup.node.assignment import Assignment
from pdsup.plan import difference
from pdsup.units import events, states
from pdsup.units.runner import Runner

# A node that can be asked and does not take the plan in does not keep the others for ever: its
# agent tells why, and what is in the way there is a matter of each unit's own start.
PATIENCE_S = 120.0
ANEW = events.Restart("the plan has changed")


class Rollout:
    """The outdated units of one node. It does nothing in a run whose plan was never changed."""

    def __init__(
        self,
        assignment: Assignment,
        runners: Mapping[str, Runner],
        publisher: OwnReport,
        poller: Peers,
        gates: Gates,
        on_change: Callable[[], None],
    ) -> None:
        """``on_change`` is called when time makes a difference, as what is told does."""
        self._plan = assignment.plan
        self._digest = assignment.digest
        self._changed = bool(assignment.former)
        self._node = assignment.place.node
        self._runners = runners
        self._publisher = publisher
        self._poller = poller
        self._gates = gates
        self._told: dict[str, int] = {}
        routers = [unit for unit in self._plan.units if self._changed and unit.kind == "router"]
        self._routers = {unit.name: difference.fingerprint(unit) for unit in routers}
        self._behind = rollout_rules.WAITS if self._changed else None
        self._until = clock.monotonic() + PATIENCE_S
        if self._changed:  # before anybody reads this agent's first report
            publisher.publish_renewal(level=False, turn=None)
            asyncio.get_running_loop().call_later(PATIENCE_S, on_change)

    def reason(self, unit: str) -> str | None:
        """Why a unit may not start yet that the plan makes otherwise than it was, or at all."""
        return self._behind if self._behind and not self._runners[unit].is_as_planned else None

    def follow(self) -> None:
        """Takes in what the nodes report, and does what follows."""
        if not self._changed:
            return
        self._behind = None
        if clock.monotonic() < self._until:
            self._behind = rollout_rules.behind(
                self._plan, self._digest, self._node, self._poller.peers
            )
        first = self._plan.nodes[0].name
        if self._node == first:
            turn = None if self._behind else rollout_rules.turn(self._routers, self._gates.look)
            self._publisher.publish_renewal(level=self._behind is None, turn=turn)
        else:
            leader = self._poller.peers.get(first)
            turn = leader.usable.turn if leader and leader.usable else None
        if self._behind is None:
            for name, runner in self._runners.items():
                if runner.outdated:
                    self._renew(name, runner, turn)

    def _renew(self, name: str, runner: Runner, turn: str | None) -> None:
        state = runner.facts.state
        if isinstance(state, states.Stopped | states.Ended | states.Waiting):
            return
        if self._told.get(name) == runner.facts.run:
            return
        serves = runner.unit.plan.kind == "router" and states.run_of(state) is not None
        if serves and not self._may(name, turn):
            return
        self._told[name] = runner.facts.run
        runner.tell(ANEW)

    def _may(self, router: str, turn: str | None) -> bool:
        """It is its turn, and it would not have to wait for a worker that is new."""
        if router != turn:
            return False
        self._gates.inquire([(router, False)])
        return self._gates.reason(router, first=False) is None
