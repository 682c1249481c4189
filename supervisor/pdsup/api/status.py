"""What the API answers, from reports; the status JSON of the contract is made here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

from pdsup.cluster.report import Peer, Report, UnitReport, akin
from pdsup.plan.model import Plan
from pdsup.units.process.gpu import Gpu, use
from pdsup.units.public_state import PublicState

BETWEEN_AGENTS = ("started", "standing", "order", "upstreams", "examination", "made")
SHOWN = tuple(one.name for one in fields(UnitReport) if one.name not in BETWEEN_AGENTS)


def status(
    plan: Plan,
    own: Report,
    peers: Iterable[Peer],
    now: float,
    gpus: Sequence[Gpu] = (),
    *,
    all_nodes: bool,
) -> dict[str, Any]:
    """The status JSON: this node, and with ``all_nodes`` every other node of the plan.

    ``now``: monotonic seconds, the clock of ``Peer.heard``. ``gpus``: those of this node; what is
    in use of others' stands in no report. Of a node that can't be reached the last known units are
    shown as UNKNOWN, unless its agent has stopped them for good; of a node never heard of, or with
    another plan, what this plan says it has.
    """
    known = {peer.node: peer for peer in peers}
    nodes = [
        _own(own, gpus)
        if node.name == own.node
        else _other(plan, own, known.get(node.name, Peer(node.name)), now)
        for node in plan.nodes
        if all_nodes or node.name == own.node
    ]
    return {"cluster": own.cluster, "plan": own.plan, "nodes": nodes}


def _own(report: Report, gpus: Sequence[Gpu]) -> dict[str, Any]:
    return {
        "node": report.node,
        "address": report.address,
        "agent": {**asdict(report.agent), "reachable": True, "age_s": 0.0, "problem": None},
        "units": [_unit(unit, report.at) | {"gpu_use": _use(unit, gpus)} for unit in report.units],
    }


def _use(unit: UnitReport, gpus: Sequence[Gpu]) -> dict[str, Any] | None:
    used = use(gpus, unit.gpus) if gpus and unit.gpus else None
    return None if used is None else asdict(used)


def _other(plan: Plan, own: Report, peer: Peer, now: float) -> dict[str, Any]:
    report = peer.report
    agent = {"pid": None, "guardian_pid": None, "incarnation": None, "version": None}
    related = report is not None and akin(report, own.plan, own.former)
    if report is None or not related or report.node != peer.node:
        units = [_planned(unit.name, plan, peer) for unit in plan.units if unit.node == peer.node]
    else:
        agent = asdict(report.agent)
        units = [_last_known(unit, report, peer, now) for unit in report.units]
    return {
        "node": peer.node,
        "address": plan.address[peer.node],
        "agent": {
            **agent,
            "reachable": peer.problem is None,
            "age_s": None if peer.heard is None else round(now - peer.heard, 3),
            "problem": peer.problem,
        },
        "units": units,
    }


def _last_known(unit: UnitReport, report: Report, peer: Peer, now: float) -> dict[str, Any]:
    until = now if peer.problem is None or peer.heard is None else peer.heard
    passed = until - (until if peer.received is None else peer.received)
    values = _unit(unit, report.at + passed)
    if peer.problem is None or (report.ending and unit.state.is_settled):
        return values
    reason = f"was {unit.state}; {peer.problem}"
    unknown = {"state": PublicState.UNKNOWN, "ready": False, "reason": reason}
    return {**values, **unknown, "short_reason": reason}


def _unit(unit: UnitReport, at: float) -> dict[str, Any]:
    """``at``: now, in monotonic seconds of the reporting node."""
    # Not asdict(unit), which takes 20 us: a node may have hundreds, and many may ask.
    values = {name: getattr(unit, name) for name in SHOWN}
    if (last := unit.last_exit) is not None:
        values["last_exit"] = {"code": last.code, "signal": last.signal, "at": last.at}
    values["gpu_use"] = None
    values["uptime_s"] = None if unit.started is None else round(at - unit.started, 3)
    return values


def _planned(name: str, plan: Plan, peer: Peer) -> dict[str, Any]:
    unit = plan.by_name[name]
    return {
        "name": unit.name,
        "kind": unit.kind,
        "role": unit.role,
        "node": unit.node,
        "rank": unit.rank,
        "gang": unit.gang,
        "state": PublicState.UNKNOWN,
        "ready": False,
        "pid": None,
        "run": 0,
        "restarts": 0,
        "since": None,
        "ports": unit.ports,
        "gpus": unit.gpus,
        "reason": peer.problem or "",
        "short_reason": peer.problem or "",
        "last_exit": None,
        "uptime_s": None,
        "gpu_use": None,
    }
