"""Writes and reads addresses with ports, in one place, so that IPv6's brackets are never forgotten.

A host is a name, an IPv4 address, or an IPv6 address without brackets and without a scope; only the
last has colons. Pure.
"""

from __future__ import annotations

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 (compared)


def is_ipv6(host: str) -> bool:
    """Whether the host is an IPv6 address."""
    return ":" in host


def bracketed(host: str) -> str:
    """The host as written before a port, IPv6 in brackets: ``[fd00::1]``."""
    return f"[{host}]" if is_ipv6(host) else host


def endpoint(host: str, port: int) -> str:
    """The host and port as ``HOST:PORT``: ``node3:30000``, ``[fd00::1]:30000``."""
    return f"{bracketed(host)}:{port}"


def url(host: str, port: int, path: str = "") -> str:
    """The URL ``http://HOST:PORT`` followed by ``path``, which begins with a slash."""
    return f"http://{endpoint(host, port)}{path}"


def split(text: str) -> tuple[str, str]:
    """The host and port in ``HOST:PORT``; text without a colon is a port without a host."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def everywhere(host: str) -> str:
    """The wildcard address to bind to, so that clients reach a listener at ``host`` (and at every
    other address of its node). Many servers on ``::`` do not accept IPv4, and none on ``0.0.0.0``
    accepts IPv6.
    """
    return "::" if is_ipv6(host) else "0.0.0.0"  # noqa: S104 (asked for)


def loopback(host: str) -> str:
    """The loopback address at which a node reaches its own listeners on ``everywhere(host)``."""
    return "::1" if is_ipv6(host) else "127.0.0.1"
