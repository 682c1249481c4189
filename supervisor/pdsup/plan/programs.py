"""etcd, NATS and Dynamo recognised by their command: where they listen, and their usual probes.

A listener is what a unit's arguments or its own environment say, else the program's default. A unit
that its node's agent could not reach there stays as it is: a probe that never passes would kill
what works. Pure.
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
    workers = [unit for unit in plan.units if program(unit) in ("worker", "component")]
    found: set[str] = set()
    ahead = [need.unit for unit in workers for need in unit.needs.units]
    while ahead:
        name = ahead.pop()
        if name not in found and name in plan.by_name:
            found.add(name)
            ahead += [need.unit for need in plan.by_name[name].needs.units]
    return frozenset(found)


def _probed(plan: Plan, unit: PlanUnit, early: bool) -> PlanUnit:
    known = program(unit)
    if known is None or _MOVED & unit.env.keys():
        return unit
    if unit.rank and known in ("worker", "component"):  # it serves nothing itself
        return replace(unit, probes=OTHER_RANK)
    asked = _hosts(plan, unit)
    for listener in listeners(unit):
        if listener.host in asked and _is_port(listener.port):
            return _asked_at(unit, listener, _probes(known, unit, listener, early))
    return unit


def _hosts(plan: Plan, unit: PlanUnit) -> frozenset[str]:
    """Where a program must listen for its node's agent to reach it."""
    own = plan.address.get(unit.node, "")
    if is_ipv6(own):  # what they listen on by themselves is all of IPv4, or its loopback
        return frozenset({"::", loopback(own) if plan.bind == "any" else own})
    return EVERYWHERE | {""} | (_LOOPBACK if plan.bind == "any" or own in _LOOPBACK else {own})


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


Program = Literal["etcd", "nats-server", "frontend", "worker", "component"]

# Their defaults, since 3.0, 2.0 and 0.7.
ETCD_URL = "http://localhost:2379"
NATS_PORT = "4222"
FRONTEND_PORT = "8000"
# Dynamo's workers, which serve an endpoint called "generate" unless they are given another.
_ENGINES = frozenset({"dynamo.mocker", "dynamo.sglang", "dynamo.trtllm", "dynamo.vllm"})
# A frontend with one of these serves no OpenAI API.
_WITHOUT_API = frozenset({"-i", "--interactive", "--kserve-grpc-server"})


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a program can be asked, and what its port is for.

    ``host`` is empty for all addresses. ``plain``: it speaks HTTP there, without TLS.
    """

    purpose: str
    host: str
    port: str
    plain: bool = True


def program(unit: PlanUnit) -> Program | None:
    """What a unit runs, as far as it is known here; ``component``: something else of Dynamo's."""
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
    """What ``python -u -m MODULE`` runs; empty for any other command."""
    for place, word in enumerate(words[1:], start=1):
        if word == "-m":
            return "".join(words[place + 1 : place + 2])
        if not word.startswith("-"):
            break
    return ""


def listeners(unit: PlanUnit) -> Iterator[Listener]:
    """All that are known of a unit, the best to ask first."""
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
    """With a configuration file etcd takes nothing from elsewhere."""
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
    """Arguments count for more than a configuration file."""
    host = _given(unit, None, "--addr", "-a", "--net") or ""
    monitor, client = _given(unit, None, "--http_port", "-m"), _given(unit, None, "--port", "-p")
    if monitor:
        yield Listener("monitor", host, monitor)
    if client or not _given(unit, None, "--config", "-c"):
        yield Listener("client", host, client or NATS_PORT, plain=False)
    else:
        yield from _declared(unit)


def _declared(unit: PlanUnit) -> Iterator[Listener]:
    """What a unit calls so itself, where only a file tells how it listens."""
    if "client" in unit.ports:
        yield Listener("client", "", str(unit.ports["client"]), plain=False)


def _given(unit: PlanUnit, variable: str | None, *flags: str) -> str | None:
    """What an argument says, the last of several; else the variable. Go takes one dash or two."""
    names = {flag.lstrip("-") for flag in flags}
    found = unit.env.get(variable) if variable else None
    for word, following in zip(unit.command, (*unit.command[1:], ""), strict=True):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in names:
            found = value if equals else following
    return found
