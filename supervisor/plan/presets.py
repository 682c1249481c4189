"""The usual probes of units whose program is known, for those that set none themselves.

A unit that can't be asked where its node's agent asks it stays as it is: a probe that never passes
would end what works.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import assert_never

from supervisor.plan import defaults, programs
from supervisor.plan.model import Check, Plan, PlanUnit, Probe, Probes
from supervisor.plan.programs import Listener, Program

CONNECTING = Probes(startup=defaults.CONNECT_STARTUP, readiness=defaults.CONNECT_READINESS)
ETCD = Probes(
    startup=defaults.ETCD_STARTUP,
    readiness=defaults.ETCD_READINESS,
    liveness=defaults.ETCD_LIVENESS,
)
NATS = Probes(
    startup=defaults.NATS_STARTUP,
    readiness=defaults.NATS_READINESS,
    liveness=defaults.NATS_LIVENESS,
)
FRONTEND = Probes(
    startup=defaults.FRONTEND_STARTUP,
    readiness=defaults.FRONTEND_READINESS,
    liveness=defaults.FRONTEND_LIVENESS,
)
DYNAMO = Probes(
    startup=defaults.DYNAMO_STARTUP,
    readiness=defaults.DYNAMO_READINESS,
    liveness=defaults.DYNAMO_LIVENESS,
)
OTHER_RANK = Probes(liveness=defaults.RANK_LIVENESS)
_ANY = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 (compared)
_LOOPBACK = frozenset({"localhost", "127.0.0.1"})
_ENDPOINTS = "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS"
# Whoever moves what is asked elsewhere knows best how to ask.
_MOVED = frozenset(
    f"DYN_{server}_{question}_PATH"
    for server in ("SYSTEM", "HTTP_SVC")
    for question in ("HEALTH", "LIVE", "MODELS")
)


def probed(plan: Plan, stated: Collection[int] = ()) -> Plan:
    """The plan with probes for its known programs, and with the ports that these ask.

    ``stated``: the places of units that say themselves how they are probed, and keep that.
    """
    early = _needed_by_workers(plan)
    units = tuple(
        unit if place in stated else _probed(plan, unit, unit.name in early)
        for place, unit in enumerate(plan.units)
    )
    return replace(plan, units=units)


def _needed_by_workers(plan: Plan) -> frozenset[str]:
    """The units that one of Dynamo's workers waits for, itself or through others."""
    workers = [unit for unit in plan.units if programs.program(unit) in ("worker", "component")]
    found: set[str] = set()
    ahead = [need.unit for unit in workers for need in unit.needs.units]
    while ahead:
        name = ahead.pop()
        if name not in found and name in plan.by_name:
            found.add(name)
            ahead += [need.unit for need in plan.by_name[name].needs.units]
    return frozenset(found)


def _probed(plan: Plan, unit: PlanUnit, early: bool) -> PlanUnit:
    known = programs.program(unit)
    if known is None or _MOVED & unit.env.keys():
        return unit
    if unit.rank and known in ("worker", "component"):  # it serves nothing itself
        return replace(unit, probes=OTHER_RANK)
    asked = _hosts(plan, unit)
    for listener in programs.listeners(unit):
        if listener.host in asked and _is_port(listener.port):
            return _asked_at(unit, listener, _probes(known, unit, listener, early))
    return unit


def _hosts(plan: Plan, unit: PlanUnit) -> frozenset[str]:
    """Where a program must listen for its node's agent to reach it."""
    own = plan.address.get(unit.node, "")
    return _ANY | (_LOOPBACK if plan.bind == "any" or own in _LOOPBACK else {own})


def _is_port(text: str) -> bool:
    return text.isdecimal() and len(text) < 6 and 0 < int(text) < 65536


def _asked_at(unit: PlanUnit, listener: Listener, probes: Probes) -> PlanUnit:
    """Asks by the name that the unit itself gives the port, if it does."""
    number = int(listener.port)
    name = next((name for name, port in unit.ports.items() if port == number), listener.purpose)
    if unit.ports.get(name, number) != number:
        return unit  # another port of it is called so
    asked = replace(
        probes,
        startup=_at(probes.startup, name),
        readiness=_at(probes.readiness, name),
        liveness=_at(probes.liveness, name),
    )
    return replace(unit, ports={**unit.ports, name: number}, probes=asked)


def _at(probe: Probe | None, name: str) -> Probe | None:
    """Asked on the port of that name."""
    if probe is None:
        return None
    return replace(probe, checks=tuple(replace(c, port=c.port and name) for c in probe.checks))


def _probes(known: Program, unit: PlanUnit, listener: Listener, early: bool) -> Probes:
    """``early``: it is needed before there is a worker."""
    match known:
        case _ if not listener.plain:
            return CONNECTING
        case "etcd":
            return ETCD
        case "nats-server":
            return NATS
        case "frontend":
            return _with(FRONTEND, defaults.FRONTEND_HEALTH) if early else FRONTEND
        case "worker" | "component":
            if unit.env.get(_ENDPOINTS, "") not in ("", "[]"):
                return _with(DYNAMO, defaults.DYNAMO_HEALTH)
            return DYNAMO if known == "worker" else _with(DYNAMO, defaults.DYNAMO_LISTENS)
    assert_never(known)


def _with(probes: Probes, check: Check) -> Probes:
    """Ready when that check alone passes."""
    startup = probes.startup and replace(probes.startup, checks=(check,))
    readiness = probes.readiness and replace(probes.readiness, checks=(check,))
    return replace(probes, startup=startup, readiness=readiness)
