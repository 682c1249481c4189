"""A deployment is what a recipe asks for, in one form whatever its schema.

All later steps read only this. The ``at`` and ``*_at`` fields are dotted paths into the recipe, so
that a problem found late still points at the line that causes it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pdsup.plan.engines.engine import Engine, EngineSettings
from pdsup.plan.frontends.frontend import Frontend
from pdsup.plan.model import BounceDecodes, Hook, Log, OnFatal, ReadableBy, Restart, Role, Sweep


@dataclass(frozen=True, kw_only=True)
class PoolPaths:
    """The paths of a pool's settings in the recipe."""

    nodes: str
    workers: str
    gpus: str
    flags: str
    kv_events: str
    restart: str


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The workers of one role. ``gpus``: per worker; None: they share the GPUs of their nodes."""

    role: Role
    nodes: int
    workers: int
    gpus: int | None
    engine: EngineSettings
    env: Mapping[str, str]
    restart: Restart
    log: Log
    at: PoolPaths


@dataclass(frozen=True, kw_only=True)
class Front:
    """The routers and nginx. ``additional``: routers besides the first; None: one and no nginx.

    ``nginx`` has the settings that the recipe gives, by their names in the plan; others keep the
    plan's defaults. ``nginx_binary``: the program. ``port``: that of nginx, or of the only router.
    """

    additional: int | None
    port: int
    args: Mapping[str, Any]
    env: Mapping[str, str]
    program: Frontend
    start_with: Mapping[str, int]
    restart_with: Mapping[str, int]
    nginx: Mapping[str, Any]
    nginx_binary: str
    router_restart: Restart
    router_log: Log
    nginx_restart: Restart
    nginx_log: Log
    additional_at: str
    args_at: str


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One cluster, not yet placed on nodes.

    ``front``: None for one aggregated worker that clients talk to directly. ``het_jobs``: the
    prefill's nodes are the first component of the Slurm job, the decode's the second. ``at``: the
    path of the table that says how many nodes it takes. ``benchmark``: the words of a command that
    runs once everything is ready, and with which the run ends; empty: no benchmark. A ``log``
    names no file.
    """

    name: str
    engine: Engine
    gpus_per_node: int
    spread_workers: bool
    pools: tuple[Pool, ...]
    front: Front | None
    het_jobs: bool
    at: str
    load_deadline_s: float
    benchmark: tuple[str, ...] = ()
    benchmark_env: Mapping[str, str] = field(default_factory=dict)
    benchmark_log: Log = field(default_factory=Log)
    sweep: Sweep | None = None
    on_fatal: OnFatal = "continue"
    bounce_decodes: BounceDecodes = "never"
    hooks: tuple[Hook, ...] = ()
    secrets: tuple[str, ...] = ()
    readable_by: ReadableBy = field(default_factory=ReadableBy)

    @property
    def nodes(self) -> int:
        """How many nodes the deployment takes."""
        return max(1, sum(pool.nodes for pool in self.pools))
