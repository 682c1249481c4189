"""The text of nginx.conf for a set of routers.

Equal input gives equal bytes. ``nginx.conf.j2`` gives the reason beside each setting. No value from
a plan can become a directive: names, addresses, sizes and times must match a strict pattern, and
paths are quoted. Pure.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pdsup.address import endpoint, split
from pdsup.errors import SupervisorError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SIZE = re.compile(r"[0-9]+[kKmMgG]?")
_TIME = re.compile(r"[0-9]+(ms|s|m|h|d)?")
_HEADER = re.compile(r"[A-Za-z0-9_-]+")
_REFUSED = re.compile(r"/[A-Za-z0-9_.-][A-Za-z0-9_./-]*")
_KILOBYTES = re.compile(r"[1-9][0-9]{0,3}[kK]")
_SERVER = re.compile(r"^ *server (\S+) max_fails=0;  # (\S+)$", re.M)
# The only characters that are special to nginx inside double quotes.
_MEAN_SOMETHING_IN_QUOTES = frozenset('"\\$')


@dataclass(frozen=True, slots=True, order=True)
class Upstream:
    """One router: its unit's name, and where nginx reaches it (host name, IPv4 or IPv6 address)."""

    name: str
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings that stay the same while routers come and go.

    ``listen``: the public address; None for all addresses, where ``ipv6`` adds those of IPv6.
    ``status_address``, ``status_port``: where nginx serves its health and its generation.
    ``prefix``: an absolute path on this node for the pid file and temporary files.
    ``user``: user and group of the workers, which only an nginx started by root can set.
    ``keepalive_timeout``, ``stream_timeout``, ``client_max_body_size``, ``client_header_size``,
    ``proxy_buffer_size``: in nginx's notation (``600s``, ``24h``, ``45m``, ``32k``, ``32k``).
    ``refused_paths``: what clients may not ask; each stands for all paths that begin so.
    ``descriptors``: how many files a worker process may open; ``worker_connections``: how many of
    these for connections, of which a proxied request takes two.
    ``session_header``: requests with the same value of it go to the same router; None for no such
    affinity. ``spares_idle``: nginx has keepalive_min_timeout (see ``front/nginx_program.py``).
    """

    listen: str | None
    ipv6: bool
    port: int
    status_address: str
    status_port: int
    prefix: str
    user: tuple[str, str] | None
    keepalive_timeout: str
    stream_timeout: str
    client_max_body_size: str
    client_header_size: str
    proxy_buffer_size: str
    refused_paths: tuple[str, ...]
    descriptors: int
    worker_connections: int
    balance: Literal["round-robin", "least-conn"]
    session_header: str | None
    spares_idle: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """A complete nginx.conf, and the hash of it that an nginx running it returns."""

    text: str
    generation: str


def render(settings: Settings, upstreams: Iterable[Upstream]) -> Rendered:
    """nginx.conf for these routers; without any, nginx answers every request with a JSON 503.

    Raises SupervisorError for a value that does not match its pattern.
    """
    import jinja2  # late: it is slow to import, and most commands render nothing

    template = jinja2.Environment(
        autoescape=False,  # noqa: S701  # not HTML; values are checked instead
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    ).from_string(
        importlib.resources.files(__package__).joinpath("nginx.conf.j2").read_text("utf-8")
    )
    values = {**_values(settings), "servers": _servers(upstreams)}
    body = template.render(values, generation="")
    generation = hashlib.sha256(body.encode()).hexdigest()[:12]
    return Rendered(template.render(values, generation=generation), generation)


def listed(text: str) -> frozenset[Upstream]:
    """The routers in the text of an nginx.conf that ``render`` wrote."""
    servers = ((name, *split(where)) for where, name in _SERVER.findall(text))
    return frozenset(
        Upstream(name, host, int(port)) for name, host, port in servers if port.isdecimal()
    )


def status_url(settings: Settings, path: str) -> str:
    """The URL of a page about nginx itself: ``/healthz``, ``/generation`` or ``/stub_status``."""
    where = _endpoint("status address", settings.status_address, settings.status_port)
    return f"http://{where}{path}"


def _values(settings: Settings) -> dict[str, object]:
    if settings.listen is not None:
        listen = [_endpoint("listen address", settings.listen, settings.port)]
    else:
        every = ("0.0.0.0", "::") if settings.ipv6 else ("0.0.0.0",)  # noqa: S104  # asked for
        listen = [_endpoint("listen address", address, settings.port) for address in every]
    return {
        "listen": listen,
        "status": _endpoint("status address", settings.status_address, settings.status_port),
        "prefix": _path("prefix", settings.prefix),
        "user": [_word("user", name, _NAME, "a plain name") for name in settings.user or ()],
        "keepalive": _word("keepalive_timeout", settings.keepalive_timeout, _TIME, "like 600s"),
        "body_size": _word(
            "client_max_body_size", settings.client_max_body_size, _SIZE, "like 45m"
        ),
        "header_size": _word(
            "client_header_size", settings.client_header_size, _KILOBYTES, "like 32k"
        ),
        "buffer_size": _word(
            "proxy_buffer_size", settings.proxy_buffer_size, _KILOBYTES, "like 32k"
        ),
        "refused": [
            _word("refused path", path, _REFUSED, "like /workers")
            for path in sorted(set(settings.refused_paths))
        ],
        "stream": _word("stream_timeout", settings.stream_timeout, _TIME, "like 24h"),
        "descriptors": _count("descriptors", settings.descriptors),
        "worker_connections": _count("worker_connections", settings.worker_connections),
        "least_conn": settings.balance == "least-conn",
        "session": _header(settings.session_header),
        "spares_idle": settings.spares_idle,
    }


def _servers(upstreams: Iterable[Upstream]) -> list[tuple[str, str]]:
    return [
        (
            _endpoint(
                f"address of {_word('router', router.name, _NAME, 'a plain name')}",
                router.address,
                router.port,
            ),
            router.name,
        )
        for router in sorted(set(upstreams))
    ]


def _word(what: str, value: str, form: re.Pattern[str], wanted: str) -> str:
    if not form.fullmatch(value):
        raise _refusal(what, value, wanted)
    return value


def _header(name: str | None) -> str | None:
    """The header's name as in nginx's variables: ``x_session_id`` for ``X-Session-ID``."""
    if name is None:
        return None
    return _word("session header", name, _HEADER, "like X-Session-ID").lower().replace("-", "_")


def _endpoint(what: str, address: str, port: int) -> str:
    if not 1 <= port <= 65535:
        raise _refusal(f"port of the {what}", port, "1 to 65535")
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return endpoint(_word(what, address, _NAME, "a host name or an IP address"), port)
    # The part after % may hold anything, and nginx knows no scopes.
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None:
        raise _refusal(what, address, "an IPv6 address without a scope")
    return endpoint(str(ip), port)


def _path(what: str, value: str) -> str:
    safe = value.isprintable() and not _MEAN_SOMETHING_IN_QUOTES & set(value)
    if not (safe and value.startswith("/")):
        raise _refusal(what, value, 'an absolute path without ", \\, $ and control characters')
    return value


def _count(what: str, value: int) -> int:
    if value < 1:
        raise _refusal(what, value, "at least 1")
    return value


def _refusal(what: str, value: object, wanted: str) -> SupervisorError:
    return SupervisorError(f"cannot render nginx.conf: {what} {value!r} is not {wanted}")


@dataclass(frozen=True, slots=True)
class Reloads:
    """How many reloads of the running nginx succeeded (``taken``) and failed, and how many routers
    it balances over.
    """

    taken: int = 0
    failed: int = 0
    upstreams: int = 0
