"""How an address and a port are written: the one place, so that none forgets IPv6's brackets.

A host here is a name, an IPv4 address or an IPv6 address without brackets and without a scope; only
the last has colons. Pure.
"""

from __future__ import annotations

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 (compared)


def is_ipv6(host: str) -> bool:
    """Whether it is an IPv6 address."""
    return ":" in host


def bracketed(host: str) -> str:
    """The host as it stands before a port: ``[fd00::1]``."""
    return f"[{host}]" if is_ipv6(host) else host


def endpoint(host: str, port: int) -> str:
    """``HOST:PORT``: ``node3:30000``, ``[fd00::1]:30000``."""
    return f"{bracketed(host)}:{port}"


def url(host: str, port: int, path: str = "") -> str:
    """``http://HOST:PORT``, then ``path``, which begins with a slash."""
    return f"http://{endpoint(host, port)}{path}"


def split(text: str) -> tuple[str, str]:
    """Host and port of what ``endpoint`` wrote; a text without a port is a port without a host."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def everywhere(host: str) -> str:
    """What listeners bind to that are to be reached at ``host`` and at all other addresses of its
    node. Many servers on ``::`` are not reached by IPv4, and none on ``0.0.0.0`` by IPv6.
    """
    return "::" if is_ipv6(host) else "0.0.0.0"  # noqa: S104 (asked for)


def loopback(host: str) -> str:
    """Where a node reaches what listens ``everywhere(host)`` on it."""
    return "::1" if is_ipv6(host) else "127.0.0.1"
