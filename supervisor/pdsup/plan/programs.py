"""Recognises etcd, NATS and Dynamo by their commands, and gives their units the usual probes.

Where a program listens comes from the unit's arguments, then its environment, then the program's
default. A unit that its node's agent could not reach there gets no probes: a probe that can never
pass would kill a program that works. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from pdsup.address import EVERYWHERE, is_ipv6, loopback, split
from pdsup.plan import defaults
from pdsup.plan.model import Check, Plan, PlanUnit, Probe, Probes

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
_LOOPBACK = frozenset({"localhost", "127.0.0.1"})
_ENDPOINTS = "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS"
# A unit that moves these endpoints must have probes of its own.
_MOVED = frozenset(
    f"DYN_{server}_{question}_PATH"
    for server in ("SYSTEM", "HTTP_SVC")
    for question in ("HEALTH", "LIVE", "MODELS")
)


def probed(plan: Plan, stated: Collection[int] = ()) -> Plan:
    """The plan, with probes for its known programs and the ports that these probes use.

    ``stated``: the indices of units with probes of their own, which are kept.
    """
    early = _needed_by_workers(plan)
    units = tuple(
        unit if place in stated else _probed(plan, unit, unit.name in early)
        for place, unit in enumerate(plan.units)
    )
    return replace(plan, units=units)


def _needed_by_workers(plan: Plan) -> frozenset[str]:
    """The units that any Dynamo worker waits for, directly or through other units."""
    workers = [unit for unit in plan.units if program(unit) in ("worker", "component")]
    needed: set[str] = set()
    pending = [need.unit for unit in workers for need in unit.needs.units]
    while pending:
        name = pending.pop()
        if name not in needed and name in plan.by_name:
            needed.add(name)
            pending += [need.unit for need in plan.by_name[name].needs.units]
    return frozenset(needed)


def _probed(plan: Plan, unit: PlanUnit, early: bool) -> PlanUnit:
    known = program(unit)
    if known is None or _MOVED & unit.env.keys():
        return unit
    if unit.rank and known in ("worker", "component"):  # only rank 0 serves
        return replace(unit, probes=OTHER_RANK)
    reachable = _hosts(plan, unit)
    for listener in listeners(unit):
        if listener.host in reachable and _is_port(listener.port):
            return _probed_at(unit, listener, _probes(known, unit, listener, early))
    return unit


def _hosts(plan: Plan, unit: PlanUnit) -> frozenset[str]:
    """The hosts that a program may bind to so that its node's agent can reach it."""
    own = plan.address.get(unit.node, "")
    if is_ipv6(own):  # the programs' defaults are IPv4 wildcard or loopback, so they don't count
        return frozenset({"::", loopback(own) if plan.bind == "any" else own})
    return EVERYWHERE | {""} | (_LOOPBACK if plan.bind == "any" or own in _LOOPBACK else {own})


def _is_port(text: str) -> bool:
    return text.isdecimal() and len(text) < 6 and 0 < int(text) < 65536


def _probed_at(unit: PlanUnit, listener: Listener, probes: Probes) -> PlanUnit:
    """The unit with these probes, on the port under the unit's own name for it, if it has one."""
    number = int(listener.port)
    name = next((name for name, port in unit.ports.items() if port == number), listener.purpose)
    if unit.ports.get(name, number) != number:
        return unit  # the name is taken by another port of the unit
    named = replace(
        probes,
        startup=_at(probes.startup, name),
        readiness=_at(probes.readiness, name),
        liveness=_at(probes.liveness, name),
    )
    return replace(unit, ports={**unit.ports, name: number}, probes=named)


def _at(probe: Probe | None, name: str) -> Probe | None:
    """The probe, with its checks on the port of that name."""
    if probe is None:
        return None
    return replace(probe, checks=tuple(replace(c, port=c.port and name) for c in probe.checks))


def _probes(known: Program, unit: PlanUnit, listener: Listener, early: bool) -> Probes:
    """The usual probes of a known program. ``early``: it is needed before any worker is ready."""
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
    """The probes, with startup and readiness decided by that one check."""
    startup = probes.startup and replace(probes.startup, checks=(check,))
    readiness = probes.readiness and replace(probes.readiness, checks=(check,))
    return replace(probes, startup=startup, readiness=readiness)


Program = Literal["etcd", "nats-server", "frontend", "worker", "component"]

# Defaults of etcd since 3.0, NATS since 2.0 and Dynamo since 0.7.
ETCD_URL = "http://localhost:2379"
NATS_PORT = "4222"
FRONTEND_PORT = "8000"
# Dynamo's workers, which serve an endpoint named "generate" unless told otherwise.
_ENGINES = frozenset({"dynamo.mocker", "dynamo.sglang", "dynamo.trtllm", "dynamo.vllm"})
# With one of these flags a frontend serves no OpenAI API.
_WITHOUT_API = frozenset({"-i", "--interactive", "--kserve-grpc-server"})


@dataclass(frozen=True, slots=True)
class Listener:
    """An address at which a program can be probed. ``purpose``: the name of the port.

    ``host`` is empty for all addresses. ``plain``: it serves HTTP without TLS.
    """

    purpose: str
    host: str
    port: str
    plain: bool = True


def program(unit: PlanUnit) -> Program | None:
    """The known program that a unit runs, or None; ``component``: another part of Dynamo."""
    words = unit.command if unit.kind != "benchmark" else ()
    name = words[0].rpartition("/")[2] if words else ""
    if name == "nats-server":
        return "nats-server"
    if name == "etcd" and all(word.startswith("-") for word in words[1:2]):  # no subcommand
        return "etcd"
    match _module(words) if name.startswith("python") else "":
        case "dynamo.frontend":
            return None if _WITHOUT_API.intersection(words) else "frontend"
        case module if module in _ENGINES and _given(unit, None, "--endpoint") is None:
            return "worker"
        case module if module.startswith("dynamo."):
            return "component"
    return None


def _module(words: tuple[str, ...]) -> str:
    """The MODULE of ``python -u -m MODULE``; empty for any other command."""
    for place, word in enumerate(words[1:], start=1):
        if word == "-m":
            return "".join(words[place + 1 : place + 2])
        if not word.startswith("-"):
            break
    return ""


def listeners(unit: PlanUnit) -> Iterator[Listener]:
    """All known listeners of a unit, the best one to probe first."""
    match program(unit):
        case "etcd":
            yield from _etcd(unit)
        case "nats-server":
            yield from _nats(unit)
        case "frontend":
            host = _given(unit, "DYN_HTTP_HOST", "--http-host") or ""
            port = _given(unit, "DYN_HTTP_PORT", "--http-port") or FRONTEND_PORT
            tls = _given(unit, "DYN_TLS_CERT_PATH", "--tls-cert-path")
            yield Listener("http", host, port, plain=not tls)
        case "worker" | "component":
            host, port = unit.env.get("DYN_SYSTEM_HOST", ""), unit.env.get("DYN_SYSTEM_PORT", "")
            yield Listener("system", host, port)


def _etcd(unit: PlanUnit) -> Iterator[Listener]:
    """The listeners of etcd; with a configuration file it ignores all other settings."""
    if _given(unit, "ETCD_CONFIG_FILE", "--config-file"):
        yield from _declared(unit)
        return
    http = _given(unit, "ETCD_LISTEN_CLIENT_HTTP_URLS", "--listen-client-http-urls")
    both = _given(unit, "ETCD_LISTEN_CLIENT_URLS", "--listen-client-urls")
    urls = [url.strip().partition("://") for url in (http or both or ETCD_URL).split(",")]
    for wanted in ("http", "https"):
        for scheme, _, place in urls:
            host, port = split(place.rstrip("/"))
            if scheme == wanted:
                yield Listener("client", host, port, plain=scheme == "http")


def _nats(unit: PlanUnit) -> Iterator[Listener]:
    """The listeners of NATS; its arguments override its configuration file."""
    host = _given(unit, None, "--addr", "-a", "--net") or ""
    monitor, client = _given(unit, None, "--http_port", "-m"), _given(unit, None, "--port", "-p")
    if monitor:
        yield Listener("monitor", host, monitor)
    if client or not _given(unit, None, "--config", "-c"):
        yield Listener("client", host, client or NATS_PORT, plain=False)
    else:
        yield from _declared(unit)


def _declared(unit: PlanUnit) -> Iterator[Listener]:
    """The unit's port named ``client``, if only a configuration file says where it listens."""
    if "client" in unit.ports:
        yield Listener("client", "", str(unit.ports["client"]), plain=False)


def _given(unit: PlanUnit, variable: str | None, *flags: str) -> str | None:
    """The value of an argument, the last of several, else of the variable.

    Programs in Go accept flags with one dash or two.
    """
    names = {flag.lstrip("-") for flag in flags}
    given = unit.env.get(variable) if variable else None
    for word, following in zip(unit.command, (*unit.command[1:], ""), strict=True):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in names:
            given = value if equals else following
    return given
