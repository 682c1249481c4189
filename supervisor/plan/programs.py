"""Programs that are known by their command, and where they listen: etcd, NATS and Dynamo's.

By what a unit's arguments and its own environment say, else by the program's default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from supervisor.plan.model import PlanUnit

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
            host, _, port = place.rstrip("/").rpartition(":")
            if scheme == wanted:
                yield Listener("client", host.strip("[]"), port, plain=scheme == "http")


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
