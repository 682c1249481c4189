"""This node's own report: what it says about each unit, and who is woken when that changes."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace

import pdsup
from pdsup import clock
from pdsup.answers.status import LastCommand
from pdsup.bell import Bell
from pdsup.cluster.report import AgentReport, ExitReport, Report, UnitReport
from pdsup.node.assignment import Assignment
from pdsup.plan.model import PlanUnit
from pdsup.printable import printable
from pdsup.units import states
from pdsup.units.facts import Facts
from pdsup.units.public_state import PublicState


class OwnReport:
    """The report of this node: the latest of every unit, and a sequence number.

    ``ending`` says why the node is stopping its units; None while it is not.

    ``bell`` rings for changes of this node only. The long polls of other nodes wait on it: if it
    rang for peers too, each change on one node would wake the followers of all. ``news`` rings for
    both.
    """

    def __init__(self, assignment: Assignment, news: Bell, guardian_pid: int | None = None) -> None:
        self.bell = Bell()
        self._news = news
        self._assignment = assignment
        self._sequence = 0
        self.ending: str | None = None
        self.ends_cluster = False
        self._all_have_plan = True
        self._router_turn: str | None = None
        self._hands_over: bool | None = None
        self._agent = AgentReport(
            pid=os.getpid(),
            guardian_pid=guardian_pid,
            incarnation=secrets.token_hex(4),
            version=pdsup.__version__,
        )
        self.units: dict[str, UnitReport] = {}
        # Not in the report: agents of 0.1.0 refuse fields that they do not know.
        self.commands: dict[str, LastCommand] = {}

    def lose_guardian(self) -> None:
        """Takes in that the guardian was killed, so that nothing would restart this agent."""
        self._agent = replace(self._agent, guardian_pid=None)
        self._changed()

    @property
    def incarnation(self) -> str:
        """An identifier that is new for every agent that starts."""
        return self._agent.incarnation

    @property
    def version(self) -> str:
        """The version of the current report."""
        return f"{self._agent.incarnation}.{self._sequence}"

    def is_ending(self) -> bool:
        """Whether this node is stopping its units."""
        return self.ending is not None

    def publish(self, unit: UnitReport) -> None:
        """Replaces the report of one unit."""
        if self.units.get(unit.name) != unit:
            self.units[unit.name] = unit
            self._changed()

    def publish_command(self, unit: str, command: LastCommand) -> None:
        """Publishes what an operator has just asked of a unit."""
        self.commands[unit] = command
        self._changed()

    def publish_end(self, reason: str, *, of_cluster: bool) -> None:
        """Publishes that this node stops its units, and whether all nodes should."""
        self.ending = reason
        self.ends_cluster |= of_cluster
        self._changed()

    def publish_hand_over(self) -> None:
        """Publishes that a new agent takes over from this one."""
        self._hands_over = True
        self._changed()

    def publish_rollout(self, *, all_have_plan: bool, router_turn: str | None) -> None:
        """Publishes whether every node has the changed plan, and which router may restart."""
        if (all_have_plan, router_turn) != (self._all_have_plan, self._router_turn):
            self._all_have_plan, self._router_turn = all_have_plan, router_turn
            self._changed()

    def report(self) -> Report:
        """The report as of now."""
        return Report(
            cluster=self._assignment.plan.name,
            plan=self._assignment.digest,
            node=self._assignment.place.node,
            address=self._assignment.address,
            sequence=self._sequence,
            at=clock.monotonic(),
            ending=self.ending,
            ends_cluster=self.ends_cluster,
            agent=self._agent,
            units=tuple(self.units.values()),
            former=self._assignment.former,
            level=self._all_have_plan,
            turn=self._router_turn,
            hands_over=self._hands_over,
        )

    def _changed(self) -> None:
        self._sequence += 1
        self.bell.ring()
        self._news.ring()


OUTDATED = "its plan has changed"


def unit_report(
    unit: PlanUnit,
    facts: Facts,
    unusable: str | None = None,
    upstreams: tuple[str, ...] | None = None,
    made: str = "",
    outdated: str | None = None,
    drain: str | None = None,
    *,
    halted: bool = False,
) -> UnitReport:
    """The report of one unit, before its gang and its evidence are added.

    ``unusable``: why it can't be used although it is RUNNING, or None. ``upstreams``: the routers
    that an nginx passes requests to, if known. ``made``: the fingerprint of the definition that
    its last run was started from; ``outdated``: if the plan's definition differs from that, why it
    has not restarted yet. ``drain``: what its drain waits for, or None.
    ``halted``: a process of it is stopped or has died.
    """
    state = states.public(facts.state)
    last = facts.last_exit
    settled = facts.never_ran or state.is_at_rest
    waits = "" if outdated is None or settled else _joined(OUTDATED, outdated)
    also = (drain if isinstance(facts.state, states.Draining) else None, waits, facts.log_problem)
    why = facts.detail or (unusable if state is PublicState.RUNNING else None)
    reason = _joined(states.reason_of(facts.state) or why, *also)
    short = _joined(states.short_reason_of(facts.state) or why, *also)
    return UnitReport(
        name=unit.name,
        kind=unit.kind,
        role=unit.role,
        node=unit.node,
        rank=unit.rank,
        gang=unit.gang,
        state=state,
        ready=state is PublicState.RUNNING and unusable is None,
        pid=facts.pid,
        run=facts.run,
        restarts=facts.restarts,
        since=facts.since,
        started=facts.started,
        ports=unit.ports,
        gpus=unit.gpus,
        reason=reason,
        short_reason=None if short == reason else short,
        last_exit=ExitReport(code=last.status.code, signal=last.status.signal, at=last.at)
        if last
        else None,
        upstreams=upstreams,
        made=made,
        halted=(halted and state is PublicState.UNHEALTHY) or None,
    )


def _joined(*reasons: str | None) -> str:
    """Joins the reasons, and escapes bytes of command lines or file names that are not text."""
    text = "; ".join(filter(None, reasons)).encode(errors="backslashreplace").decode()
    return printable(text)
