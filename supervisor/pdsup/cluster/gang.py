"""Keeps the ranks of this node in step with their gangs, and leads the gangs whose rank 0 is here.

The decisions, and why they are safe, are in ``cluster/gang_rules.py``. ``react`` takes in what
happened and acts on it; ``stamped`` only adds the outcome to a report. A rank must not run in an
epoch that its agent forgets, so the ledger records the epoch of each run before the process is
started, and an agent that takes over a running rank reads it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pdsup.cluster import gang_rules
from pdsup.cluster.gate_rules import waits_for
from pdsup.cluster.report import Look, Order, Standing, UnitReport
from pdsup.plan.model import Plan
from pdsup.units import events, states
from pdsup.units.runner import Runner
from pdsup.units.states import FOREVER


@dataclass(slots=True)
class _Rank:
    """One rank of this node.

    ``order``: the order it gave, if it leads. ``run``: the last run seen; ``ended``: the last run
    that was told to stop. ``known``: it is known whether the rank is alive, which takes a moment
    after the agent's start.
    """

    unit: str
    ranks: tuple[str, ...]
    standing: Standing = gang_rules.FRESH
    order: Order | None = None
    run: int | None = None
    ended: int | None = None
    known: bool = False

    @property
    def leader(self) -> str:
        return self.ranks[0]


class Gangs:
    """The gangs of one node.

    ``gate`` says what a unit waits for apart from its gang, or None; ``describe`` returns the
    current report of a unit of this node, not yet stamped.
    """

    def __init__(
        self,
        plan: Plan,
        runners: Mapping[str, Runner],
        look: Look,
        gate: Callable[[str], str | None],
        describe: Callable[[str], UnitReport],
    ) -> None:
        self._runners = runners
        self._look = look
        self._gate = gate
        self._describe = describe
        self._ranks = {
            name: _Rank(name, names)
            for names in gang_rules.ranks(plan).values()
            for name in names
            if name in runners
        }

    @property
    def units(self) -> tuple[str, ...]:
        """The units of this node that are ranks of a gang."""
        return tuple(self._ranks)

    def reason(self, unit: str) -> str | None:
        """Why a unit's gang does not let it start, or None."""
        rank = self._ranks.get(unit)
        if rank is None:
            return None
        order = self._order(rank)
        if gang_rules.may_start(rank.standing, order):
            return None
        if order is None:
            return f"waits for {rank.leader} (no report from its node)"
        if rank.unit != rank.leader:
            why = f": {order.reason}" if order.reason else ""
            return f"waits for {rank.leader} to begin epoch {order.epoch} of the gang{why}"
        others = {name: self._look(name) for name in rank.ranks[1:]}
        waits = waits_for(gang_rules.missing(order, others))
        return waits or f"waits for its gang to begin epoch {order.epoch}"

    def epoch(self, unit: str) -> int | None:
        """The epoch in which a unit may start now, or None; the ledger records it with the run."""
        rank = self._ranks.get(unit)
        if rank is None:
            return None
        order = self._order(rank)
        return order.epoch if order and gang_rules.may_start(rank.standing, order) else None

    def stamped(self, report: UnitReport) -> UnitReport:
        """The report with the standing and order that the gang's other agents need."""
        rank = self._ranks.get(report.name)
        if rank is None:
            return report
        return replace(report, standing=rank.standing, order=rank.order)

    def react(self) -> None:
        """Takes in the state of the ranks and their leaders' orders, gives the orders of gangs led
        here, and stops runs of epochs that are over.
        """
        for rank in self._ranks.values():
            state = self._runners[rank.unit].facts.state
            rank.known |= not isinstance(state, states.Stopped)
            if rank.known:
                self._react(rank)

    def _react(self, rank: _Rank) -> None:
        self._notice(rank)
        if rank.unit == rank.leader:
            self._lead(rank)
        order = self._order(rank)
        if rank.run != rank.ended and gang_rules.must_end(rank.standing, order):
            self._end(rank, order)

    def _notice(self, rank: _Rank) -> None:
        """Updates the rank's standing from the unit's state and the gang's order."""
        run = states.run_of(self._runners[rank.unit].facts.state)
        order = self._order(rank)
        if run is not None and run != rank.run:
            rank.run = run
            self._begin(rank)
        alive = run is not None
        poised = not alive and self._waits_only_for_its_gang(rank.unit)
        rank.standing = gang_rules.obey(rank.standing, order, alive=alive, poised=poised)

    def _begin(self, rank: _Rank) -> None:
        """Takes in a run that is new here: just started, or found alive by a new agent."""
        epoch = self._runners[rank.unit].epoch
        if epoch is not None:
            rank.standing = replace(rank.standing, spent=epoch)

    def _waits_only_for_its_gang(self, unit: str) -> bool:
        state = self._runners[unit].facts.state
        waits = isinstance(state, states.Waiting) and state.recheck_at == FOREVER
        return waits and self._gate(unit) is None

    def _lead(self, rank: _Rank) -> None:
        """Updates the leader's order.

        The leader obeys its own orders, which may lead to the next, so this repeats until nothing
        changes.
        """
        report = self._describe(rank.unit)
        if rank.order is None:
            rank.order = gang_rules.resumed(rank.standing)
        reports = {name: self._look(name) for name in rank.ranks[1:]}
        before = None
        while before != (rank.order, rank.standing):
            before = (rank.order, rank.standing)
            own = {rank.unit: replace(report, standing=rank.standing)}
            rank.order = gang_rules.decide(rank.order, own | reports)
            self._notice(rank)

    def _end(self, rank: _Rank, order: Order | None) -> None:
        if rank.run is not None and order is not None:
            rank.ended = rank.run
            why = order.reason or "its gang restarts"
            self._runners[rank.unit].tell(events.Recycle(rank.run, why))

    def _order(self, rank: _Rank) -> Order | None:
        if rank.unit == rank.leader:
            return rank.order
        report = self._look(rank.leader)
        return report.order if report else None
