"""HOST:PORT, as URLs and command lines have it. Pure."""

from __future__ import annotations


def endpoint(host: str, port: int) -> str:
    """HOST:PORT; an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
