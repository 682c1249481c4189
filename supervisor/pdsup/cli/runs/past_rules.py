"""The status of a run of which no agent answers, from its plan and its journals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pdsup.answers.status import (
    LastExit,
    NodeStatus,
    Status,
    UnitStatus,
    unknown_agent,
    unknown_unit,
)
from pdsup.cli.runs.run_lines import RunState
from pdsup.journal import runs
from pdsup.journal.entry import Entry
from pdsup.node.agent_place import AgentPlace
from pdsup.node.paths import agent_command
from pdsup.plan.front import front_of
from pdsup.plan.model import Plan, PlanUnit
from pdsup.times import age, moment
from pdsup.units.public_state import PublicState


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine: its host name, and the id of its current boot (``clock.boot``)."""

    host: str
    boot: str

    def has(self, place: AgentPlace) -> bool:
        """Whether an agent was started here."""
        return place.boot == self.boot or place.host == self.host


def run_state(
    places: Mapping[str, AgentPlace], here: Machine, *, settled: bool, left: bool
) -> RunState:
    """Whether a run of which no agent answers has ended.

    ``places``: where its agents are that have not ended in order, by node. ``settled``: whether the
    journals say that all units are down for good. ``left``: an agent has left its node-local
    directory here, as an agent of 0.1.0 does, which notes no place.
    """
    if any(not here.has(place) for place in places.values()):
        return RunState.ELSEWHERE
    if places or left:
        return RunState.KILLED
    return RunState.ENDED if settled else RunState.ELSEWHERE


def is_settled(entries: Iterable[Entry]) -> bool:
    """Whether all units with a journal are down until they are started by hand."""
    last = {entry.unit: entry.to for entry in entries if entry.unit and entry.to is not None}
    return all(state.is_settled for state in last.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is left of a run. ``words``: its directory, for people. ``began`` and ``last``: when its
    journals begin and end, in seconds since the epoch; None if they are empty. ``places``: where
    its agents are that have not ended in order, by node. ``pids``: main processes that still run
    here without an agent, by unit.
    """

    name: str
    words: str
    run_dir: str
    state: RunState
    began: float | None
    last: float | None
    places: Mapping[str, AgentPlace] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)


def why(past: Past, now: float) -> str:
    """Why no agent of a run answers; ``now``: seconds since the epoch."""
    run, last = f"{past.name} in {past.words}", past.last
    if last is None:
        return f"no agent of {run} answers, and none has noted anything"
    when = f"{age(now - last)} ago ({moment(last, now)})"
    match past.state:
        case RunState.ENDED:
            return f"{run} ended {when}"
        case RunState.KILLED:
            return f"{run} is without agents{_killed(past)}; the last news came {when}"
    return f"no agent of {run} answers here{_elsewhere(past)}; the last news came {when}"


def _killed(past: Past) -> str:
    where = f" on {', '.join(past.places)}" if past.places else ""
    return f", they were killed{where}{_survivors(past)}"


def _survivors(past: Past) -> str:
    if not past.pids:
        return ""
    count = f"{len(past.pids)} unit{'s' * (len(past.pids) != 1)}"
    still = f"{count} still run{'s' * (len(past.pids) == 1)}"
    return f", and {still} (pdsup shutdown --all --run-dir {past.run_dir} stops what is left)"


def _elsewhere(past: Past) -> str:
    if not past.places:
        return ", and its journal does not say that it has ended"
    hosts = sorted({place.host for place in past.places.values()})
    return f"; they were started on {', '.join(hosts)}"


def outlook(past: Past, unit: PlanUnit) -> str:
    """What happens next with a unit."""
    if past.state is RunState.ENDED:
        return "nothing, its run has ended"
    if past.state is RunState.KILLED:
        return f"nothing, unless a new agent takes over: {agent_command(past.run_dir, unit.node)}"
    return "unknown from here"


def status(plan: Plan, digest: str, past: Past, entries: Sequence[Entry]) -> Status:
    """The status of every node of the plan, as the journals end."""
    steps = runs.steps(entries)
    nodes = []
    for node in plan.nodes:
        problem = _problem(past, node.name)
        units = tuple(
            unit_status(unit, steps.get(unit.name, ()), problem, past.pids.get(unit.name))
            for unit in plan.units
            if unit.node == node.name
        )
        nodes.append(
            NodeStatus(
                node=node.name, address=node.address, agent=unknown_agent(problem), units=units
            )
        )
    return Status(cluster=plan.name, plan=digest, url=front_of(plan), nodes=tuple(nodes))


def _problem(past: Past, node: str) -> str:
    match past.state:
        case RunState.ENDED:
            return "its run has ended"
        case RunState.KILLED:
            return "its agent was killed"
    place = past.places.get(node)
    return f"its agent is on {place.host}" if place else "its agent does not answer here"


def unit_status(
    unit: PlanUnit | UnitStatus, steps: Sequence[Entry], problem: str, pid: int | None = None
) -> UnitStatus:
    """A unit as its journal ends; ``problem``: why its agent can't be asked.

    What is down for good is shown as it is, with what it was before it was stopped. Anything else
    may have changed since: UNKNOWN.
    """
    state, since, reason = _state(steps, problem)
    run = max((entry.run or 0 for entry in steps), default=0)
    return unknown_unit(unit, reason).replace(
        state=state,
        pid=pid,
        run=run,
        restarts=max(0, run - 1),
        since=since,
        last_exit=_last_exit(steps),
    )


def _state(steps: Sequence[Entry], problem: str) -> tuple[PublicState, float | None, str]:
    """The state, since when, and why."""
    changes = [entry for entry in steps if entry.changes]
    last = steps[-1] if steps else None
    if last is None or last.to is None:
        return PublicState.UNKNOWN, None, problem
    since = changes[-1].at if changes else last.at
    if last.to is PublicState.STOPPED:
        return last.to, since, _before_the_stop(steps)
    if last.to.is_settled:
        return last.to, since, last.reason
    why = f": {last.short_reason}" if last.short_reason else ""
    return PublicState.UNKNOWN, since, f"was {last.to}{why}; {problem}"


def _before_the_stop(steps: Sequence[Entry]) -> str:
    """What a stopped unit was, with the latest reason for that."""
    stopping = (PublicState.STOPPING, PublicState.STOPPED)
    left = ""
    for entry in reversed(steps):
        if entry.to not in stopping:
            why = entry.short_reason or left
            return f"was {entry.to}{f': {why}' if why else ''}"
        left = entry.detail
    return "was never started"


def _last_exit(steps: Iterable[Entry]) -> LastExit | None:
    ends = [entry for entry in steps if entry.exit is not None]
    if not ends or ends[-1].exit is None:
        return None
    status = ends[-1].exit
    return LastExit(code=status.code, signal=status.signal, at=ends[-1].at)
