"""Builds the status JSON from reports. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType

from pdsup.answers.status import (
    AgentStatus,
    GpuUse,
    LastCommand,
    LastExit,
    NodeStatus,
    Status,
    UnitStatus,
    unknown_agent,
    unknown_unit,
)
from pdsup.cluster.report import AgentReport, ExitReport, Peer, Report, UnitReport, akin
from pdsup.plan.model import Plan, PlanUnit
from pdsup.units.process.gpu import Gpu
from pdsup.units.public_state import PublicState

MISSING = "its agent does not report it"


def status(
    plan: Plan,
    own: Report,
    peers: Iterable[Peer],
    now: float,
    gpus: Sequence[Gpu] = (),
    *,
    all_nodes: bool,
    url: str | None = None,
    commands: Mapping[str, LastCommand] = MappingProxyType({}),
    wall: float | None = None,
) -> Status:
    """The status JSON: this node, and with ``all_nodes`` every other node of the plan.

    ``now``: monotonic seconds, the clock of ``Peer.heard``; ``wall``: the same moment in seconds
    since the epoch. ``url``: where clients talk to.
    ``gpus`` and ``commands``, by unit: this node's; reports do not carry them. For a node that
    can't be reached, it shows the last known units as UNKNOWN, unless its agent had stopped them
    for good. For a node never heard from, or with another plan, it shows the units that this plan
    places there.
    """
    known = {peer.node: peer for peer in peers}
    placed: dict[str, list[PlanUnit]] = {node.name: [] for node in plan.nodes}
    for unit in plan.units if all_nodes else ():
        placed[unit.node].append(unit)
    nodes = [
        _own(own, gpus, commands)
        if node.name == own.node
        else _other(
            node.address, placed[node.name], own, known.get(node.name, Peer(node.name)), now, wall
        )
        for node in plan.nodes
        if all_nodes or node.name == own.node
    ]
    return Status(cluster=own.cluster, plan=own.plan, url=url, nodes=tuple(nodes))


def _own(report: Report, gpus: Sequence[Gpu], commands: Mapping[str, LastCommand]) -> NodeStatus:
    return NodeStatus(
        node=report.node,
        address=report.address,
        agent=_agent(report.agent),
        units=tuple(_unit(unit, report.at, gpus, commands.get(unit.name)) for unit in report.units),
    )


def _agent(report: AgentReport) -> AgentStatus:
    """The status of an agent that answers now."""
    return AgentStatus(**asdict(report), reachable=True, age_s=0.0, problem=None)


def _other(
    address: str,
    placed: Sequence[PlanUnit],
    own: Report,
    peer: Peer,
    now: float,
    wall: float | None,
) -> NodeStatus:
    """The status of another node. ``placed``: its units by this node's plan."""
    report = peer.report
    related = report is not None and akin(report, own.plan, own.former)
    if report is None or not related or report.node != peer.node:
        agent = unknown_agent(None)
        units = [unknown_unit(unit, peer.problem or "") for unit in placed]
    else:
        agent = _agent(report.agent)
        units = [_last_known(unit, report, peer, now, wall) for unit in report.units]
        if report.plan == own.plan and len(units) < len(placed):
            reported = {unit.name for unit in report.units}
            units += [unknown_unit(unit, MISSING) for unit in placed if unit.name not in reported]
    return NodeStatus(
        node=peer.node,
        address=address,
        agent=agent.replace(
            reachable=peer.problem is None,
            age_s=None if peer.heard is None else round(now - peer.heard, 3),
            problem=peer.problem,
        ),
        units=tuple(units),
    )


def _last_known(
    unit: UnitReport, report: Report, peer: Peer, now: float, wall: float | None
) -> UnitStatus:
    until = now if peer.problem is None or peer.heard is None else peer.heard
    passed = until - (until if peer.received is None else peer.received)
    shown = _unit(unit, report.at + passed)
    if peer.problem is None or (report.ending and unit.state.is_settled):
        return shown
    reason = f"was {unit.state}; {peer.problem}"
    lost = None if wall is None or peer.heard is None else round(wall - now + peer.heard, 3)
    return shown.replace(
        state=PublicState.UNKNOWN,
        ready=False,
        since=shown.since if lost is None else lost,
        reason=reason,
        short_reason=reason,
    )


def _unit(
    unit: UnitReport, at: float, gpus: Sequence[Gpu] = (), command: LastCommand | None = None
) -> UnitStatus:
    """The status of a unit; ``at`` is now, in monotonic seconds of the reporting node."""
    last = unit.last_exit
    return UnitStatus(
        name=unit.name,
        kind=unit.kind,
        role=unit.role,
        node=unit.node,
        rank=unit.rank,
        gang=unit.gang,
        state=unit.state,
        ready=unit.ready,
        pid=unit.pid,
        run=unit.run,
        restarts=unit.restarts,
        since=unit.since,
        ports=unit.ports,
        gpus=unit.gpus,
        reason=unit.reason,
        short_reason=unit.in_short,
        last_exit=None if last is None else _exit(last),
        gpu_use=gpu_use(gpus, unit.gpus) if gpus else None,
        uptime_s=None if unit.started is None else round(at - unit.started, 3),
        last_command=command,
    )


def _exit(last: ExitReport) -> LastExit:
    return LastExit(code=last.code, signal=last.signal, at=last.at)


def gpu_use(gpus: Iterable[Gpu], indexes: Collection[int]) -> GpuUse | None:
    """The total use of the GPUs with these indexes that are up; None if none is."""
    up = [gpu for gpu in gpus if gpu.up and gpu.index in indexes]
    if not up:
        return None
    known = [gpu.utilization for gpu in up if gpu.utilization is not None]
    return GpuUse(
        memory_used=sum(gpu.memory_used or 0 for gpu in up),
        memory=sum(gpu.memory or 0 for gpu in up),
        utilization=round(sum(known) / len(known), 3) if known else None,
    )
