"""Tables of a recipe that both schemas share. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Network:
    """Where nodes reach one another, when not at the address of their names. One of both.

    ``interface``: at the address of the name NODE-INTERFACE, such as ``node0-ib0``.
    ``subnet``: at the one of the name's addresses that lies in it, such as ``10.1.0.0/16``.
    """

    interface: str | None = None
    subnet: str | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """``path``: a directory, a Hugging Face name, or an alias."""

    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """How long a worker may load: attempts times interval (seconds)."""

    max_attempts: int | None = None
    interval_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RoleRestart:
    """When a worker that ended is started again. ``backoff``: seconds before the first time."""

    policy: Literal["always", "on-failure", "never"] | None = None
    max_restarts: int | None = None
    backoff: float | None = None
