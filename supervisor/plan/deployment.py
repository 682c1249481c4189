"""What a recipe asks for, in one form whatever the recipe's own form was.

Every later step reads only this. ``at`` and ``*_at`` fields are dotted paths into the recipe, so
that a problem found late still points at the line that causes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from supervisor.plan.model import Role

Engine = Literal["sglang", "mock"]


@dataclass(frozen=True, kw_only=True)
class PoolPaths:
    """Where the recipe says what a pool is."""

    nodes: str
    workers: str
    gpus: str
    flags: str


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """An engine's flags: those the compiler needs to know, and the rest in ``flags`` as they are.

    ``port`` and ``bootstrap_port`` are None unless the recipe pins them.
    """

    model_path: str
    served_model_name: str
    port: int | None
    bootstrap_port: int | None
    flags: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The workers of one role. ``gpus`` per worker; None: what the pool's nodes have, shared."""

    role: Role
    nodes: int
    workers: int
    gpus: int | None
    engine: EngineSettings
    env: Mapping[str, str]
    at: PoolPaths


@dataclass(frozen=True, kw_only=True)
class Front:
    """What clients talk to. ``additional`` routers beside the first; None: one and no nginx."""

    additional: int | None
    args: Mapping[str, Any]
    env: Mapping[str, str]
    keepalive_timeout: str | None
    additional_at: str
    args_at: str


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One cluster, not yet on nodes."""

    name: str
    engine: Engine
    gpus_per_node: int
    spread_workers: bool
    pools: tuple[Pool, ...]
    front: Front
    load_deadline_s: float

    @property
    def nodes(self) -> int:
        """How many nodes it takes."""
        return max(1, sum(pool.nodes for pool in self.pools))
