"""The tables of a recipe that both schemas share. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pdsup.plan.frontends.frontend import Launcher
from pdsup.plan.model import BounceDecodes, Hook, OnFatal, ReadableBy


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network over which nodes reach each other, if not the one of their names.

    Exactly one is set. ``interface``: each node's address is that of the name NODE-INTERFACE, such
    as ``node0-ib0``. ``subnet``: it is the one of its name's addresses that is in the subnet, such
    as ``10.1.0.0/16``.
    """

    interface: str | None = None
    subnet: str | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """The model. ``path``: a directory, a Hugging Face name, or an alias."""

    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """How long a worker may take to load: attempts times interval, in seconds."""

    max_attempts: int | None = None
    interval_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RoleRestart:
    """When a unit that exited is restarted. ``backoff``: seconds before the first restart."""

    policy: Literal["always", "on-failure", "never"] | None = None
    max_restarts: int | None = None
    backoff: float | None = None


@dataclass(frozen=True, kw_only=True)
class UnitLog:
    """How a unit's output is written: the settings of the plan's ``log``, except its file."""

    mode: Literal["direct", "pipe"] | None = None
    max_bytes: int | None = None
    keep: int | None = None
    timestamps: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """``restart``, by role of workers and kind of other units."""

    prefill: RoleRestart | None = None
    decode: RoleRestart | None = None
    agg: RoleRestart | None = None
    router: RoleRestart | None = None
    nginx: RoleRestart | None = None


@dataclass(frozen=True, kw_only=True)
class Logs:
    """``log``, by role of workers and kind of other units."""

    prefill: UnitLog | None = None
    decode: UnitLog | None = None
    agg: UnitLog | None = None
    router: UnitLog | None = None
    nginx: UnitLog | None = None
    benchmark: UnitLog | None = None


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The nodes' resources, and how workers use them."""

    gpus_per_node: int | None = None
    spread_workers: bool | None = None
    het_jobs: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Frontend:
    """Routers and nginx."""

    type: str | None = None
    port: int | None = None
    enable_multiple_frontends: bool | None = None
    num_additional_frontends: int | None = None
    args: dict[str, Any] | None = None
    env: dict[str, Any] | None = None
    launcher: Launcher | None = None
    start_with: dict[str, int] | None = None
    restart_with: dict[str, int] | None = None
    nginx_keepalive_timeout: str | None = None
    nginx_client_max_body_size: str | None = None
    nginx_client_header_size: str | None = None
    nginx_proxy_buffer_size: str | None = None
    nginx_refused_paths: tuple[str, ...] | None = None
    nginx_stream_timeout: str | None = None
    nginx_balance: Literal["round-robin", "least-conn"] | None = None
    nginx_session_affinity: bool | None = None
    nginx_session_affinity_header: str | None = None
    nginx_binary: str | None = None
    nginx_prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class CommonRecipe:
    """The settings of every recipe, whatever its schema."""

    name: str | None = None
    model: Model = field(default_factory=Model)
    resources: Resources = field(default_factory=Resources)
    frontend: Frontend = field(default_factory=Frontend)
    health_check: HealthCheck | None = None
    environment: dict[str, Any] | None = None
    network: Network | None = None
    benchmark: Any = None
    restart: Restarts = field(default_factory=Restarts)
    log: Logs = field(default_factory=Logs)
    on_fatal: OnFatal | None = None
    bounce_decodes: BounceDecodes | None = None
    hooks: tuple[Hook, ...] = ()
    secrets: tuple[str, ...] = ()
    readable_by: ReadableBy = field(default_factory=ReadableBy)
