"""Restarts the units of one node whose plan has changed since they were started.

The decisions are in ``cluster/rollout_rules.py``. The ledger records which runs are outdated, so if
the agent is killed meanwhile, its successor carries on.
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

# A reachable node that does not load the plan must not hold up the others for ever: its agent
# reports why, and each unit that depends on the node waits at its own gate.
PATIENCE_S = 120.0
RESTART = events.Restart("the plan has changed")


class Rollout:
    """The outdated units of one node; there is nothing to do while the plan was never changed."""

    def __init__(
        self,
        assignment: Assignment,
        runners: Mapping[str, Runner],
        own_report: OwnReport,
        peers: Peers,
        gates: Gates,
        on_change: Callable[[], None],
    ) -> None:
        """``on_change`` is called when time alone has changed what may restart."""
        self._plan = assignment.plan
        self._digest = assignment.digest
        self._changed = bool(assignment.former)
        self._node = assignment.place.node
        self._runners = runners
        self._own_report = own_report
        self._peers = peers
        self._gates = gates
        self._restarted: dict[str, int] = {}
        routers = [unit for unit in self._plan.units if self._changed and unit.kind == "router"]
        self._routers = {unit.name: difference.fingerprint(unit) for unit in routers}
        self._behind = rollout_rules.WAITS if self._changed else None
        self._turn: str | None = None
        self._until = clock.monotonic() + PATIENCE_S
        if self._changed:  # before other agents can read this one's first report
            own_report.publish_rollout(all_have_plan=False, router_turn=None)
            asyncio.get_running_loop().call_later(PATIENCE_S, on_change)

    def reason(self, unit: str) -> str | None:
        """Why a unit that is new or changed in the plan may not start yet, or None."""
        return self._behind if self._behind and not self._runners[unit].is_as_planned else None

    def holds(self, unit: str) -> str:
        """Why an outdated unit has not restarted yet; "" if it is about to, or is not to."""
        if self._behind is not None or self._runners[unit].unit.plan.kind != "router":
            return self._behind or ""
        if self._turn == unit:
            return self._gates.reason(unit, first=False) or ""
        return rollout_rules.router_hold(self._routers, self._turn, self._gates.look)

    def react(self) -> None:
        """Takes in what the nodes report, and restarts the outdated units that may restart now."""
        if not self._changed:
            return
        self._behind = None
        if clock.monotonic() < self._until:
            self._behind = rollout_rules.behind(
                self._plan, self._digest, self._node, self._peers.peers
            )
        first = self._plan.nodes[0].name
        if self._node == first:
            all_have_plan, self._turn = self._behind is None, None
            if all_have_plan:
                self._turn = rollout_rules.router_turn(self._routers, self._gates.look)
            self._own_report.publish_rollout(all_have_plan=all_have_plan, router_turn=self._turn)
        else:
            leader = self._peers.peers.get(first)
            self._turn = leader.usable.turn if leader and leader.usable else None
        if self._behind is None:
            for name, runner in self._runners.items():
                if runner.outdated:
                    self._restart(name, runner)

    def _restart(self, name: str, runner: Runner) -> None:
        state = runner.facts.state
        if isinstance(state, states.Stopped | states.Ended | states.Waiting):
            return
        if isinstance(state, states.Draining | states.Stopping) and state.then is states.Then.REST:
            return  # it was asked to stop, perhaps because the node ends
        if self._restarted.get(name) == runner.facts.run:
            return
        serves = runner.unit.plan.kind == "router" and states.run_of(state) is not None
        if serves and not self._is_its_turn(name):
            return
        self._restarted[name] = runner.facts.run
        runner.tell(RESTART)

    def _is_its_turn(self, router: str) -> bool:
        """Whether this router may restart now, and no restarting worker would keep it waiting."""
        if router != self._turn:
            return False
        self._gates.inquire([(router, False)])
        return self._gates.reason(router, first=False) is None
