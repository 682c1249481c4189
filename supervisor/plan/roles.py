"""A user's recipe of schema 2 as srtctl defines it: its tables, and what of them is used here.

Only the shape. ``plan/layout2.py`` says what the settings mean together. Every setting may be
left out here, so that one mistake hides no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from supervisor.plan import recipe
from supervisor.plan.model import BounceDecodes, Hook, OnFatal
from supervisor.plan.recipe import HealthCheck, Launcher, Model, Network

_ROLE = frozenset({"container", "critical", "engine", "model", "placement", "sidecar"})
# As in ``plan/recipe.py``, by dotted table.
IGNORED: Mapping[str, frozenset[str]] = {
    "": recipe.IGNORED[""] | {"placement"},
    "model": recipe.IGNORED["model"],
    "resources": recipe.IGNORED["resources"],
    "frontend": recipe.IGNORED["frontend"] | {"container", "container_image"},
    "roles.prefill": _ROLE,
    "roles.decode": _ROLE,
    "roles.agg": _ROLE,
}


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the nodes have."""

    gpus_per_node: int | None = None
    spread_workers: bool | None = None
    het_jobs: bool | None = None


@dataclass(frozen=True, kw_only=True)
class RoleRestart:
    """When a worker that ended is started again. ``backoff``: seconds before the first time."""

    policy: Literal["always", "on-failure", "never"] | None = None
    max_restarts: int | None = None
    backoff: float | None = None


@dataclass(frozen=True, kw_only=True)
class Role:
    """The workers of one role. ``nodes``: a number, or ``colocate`` (decode only).

    ``extra_args``: words, in a list or a text. ``kv_events``: true, or a table. All three are
    checked in ``plan/layout2.py``.
    """

    nodes: Any = None
    workers: int | None = None
    gpus: int | None = None
    env: dict[str, Any] | None = None
    args: dict[str, Any] | None = None
    extra_args: Any = None
    kv_events: Any = None
    restart: RoleRestart | None = None


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Prefill and decode, or agg."""

    prefill: Role = field(default_factory=Role)
    decode: Role = field(default_factory=Role)
    agg: Role = field(default_factory=Role)


@dataclass(frozen=True, kw_only=True)
class Frontend:
    """Routers and nginx."""

    type: str | None = None
    enable_multiple_frontends: bool | None = None
    num_additional_frontends: int | None = None
    args: dict[str, Any] | None = None
    env: dict[str, Any] | None = None
    launcher: Launcher | None = None
    start_with: dict[str, int] | None = None
    restart_with: dict[str, int] | None = None
    nginx_keepalive_timeout: str | None = None
    nginx_client_max_body_size: str | None = None
    nginx_stream_timeout: str | None = None
    nginx_balance: Literal["round-robin", "least-conn"] | None = None
    nginx_session_affinity: bool | None = None
    nginx_session_affinity_header: str | None = None
    nginx_binary: str | None = None
    nginx_prefix: str | None = None


@dataclass(frozen=True, kw_only=True)
class RolesRecipe:
    """A whole recipe of schema 2. ``engine``: its name, or a table with ``type``. ``benchmark``:
    any table; its ``command`` is ours.
    """

    schema: Literal[2]
    name: str | None = None
    model: Model = field(default_factory=Model)
    resources: Resources = field(default_factory=Resources)
    engine: Any = None
    roles: Roles = field(default_factory=Roles)
    frontend: Frontend = field(default_factory=Frontend)
    health_check: HealthCheck | None = None
    environment: dict[str, Any] | None = None
    network: Network | None = None
    benchmark: Any = None
    on_fatal: OnFatal | None = None
    bounce_decodes: BounceDecodes | None = None
    hooks: tuple[Hook, ...] = ()
