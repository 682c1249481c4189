"""A user's recipe of schema 1 as srtctl defines it: its tables, and what of them is used here.

Only the shape. ``plan/layout1.py`` says what the settings mean together. Every setting may be
left out here, so that one mistake hides no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from supervisor.plan.model import BounceDecodes, Hook, OnFatal

# How a router is started: as a Python module, or its successor as a program.
Launcher = Literal["sglang_router.launch_router", "smg launch"]

# What srtctl knows and nothing here uses: containers and job submission are others' business.
# By table; "" is the top.
IGNORED: Mapping[str, frozenset[str]] = {
    "": frozenset(
        {
            "container_mounts",
            "dynamo",
            "enable_config_dump",
            "extra_mount",
            "identity",
            "infra",
            "observability",
            "output",
            "profiling",
            "reporting",
            "sbatch_directives",
            "services",
            "setup_script",
            "slurm",
            "srun_options",
            "telemetry",
        }
    ),
    "model": frozenset({"container", "precision"}),
    "resources": frozenset({"gpu_type"}),
    "frontend": frozenset(
        {
            "dedicated_node",
            "dynamo_frontend_args",
            "nginx_container",
            "nginx_raise_ulimit",
            "orchestrator_placement",
        }
    ),
    "backend": frozenset({"gpu_type", "mooncake_kv_store"}),
}


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
class Resources:
    """How many nodes and workers, and how many GPUs each has."""

    gpus_per_node: int | None = None
    prefill_nodes: int | None = None
    prefill_workers: int | None = None
    gpus_per_prefill: int | None = None
    decode_nodes: int | None = None
    decode_workers: int | None = None
    gpus_per_decode: int | None = None
    agg_nodes: int | None = None
    agg_workers: int | None = None
    gpus_per_agg: int | None = None
    spread_workers: bool | None = None
    het_jobs: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Frontend:
    """Routers and nginx. ``use_sglang_router`` and ``sglang_router_args`` are an older form."""

    type: str | None = None
    use_sglang_router: bool | None = None
    enable_multiple_frontends: bool | None = None
    num_additional_frontends: int | None = None
    args: dict[str, Any] | None = None
    sglang_router_args: dict[str, Any] | None = None
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
class EngineConfig:
    """The engine's own flags, by role."""

    prefill: dict[str, Any] | None = None
    decode: dict[str, Any] | None = None
    aggregated: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The engine. The three settings of the frontend stood here in the first form.

    ``kv_events_config``: true, a table for all roles, or one with a table or true for each role.
    """

    type: Literal["sglang", "mock"] | None = None
    prefill_environment: dict[str, Any] | None = None
    decode_environment: dict[str, Any] | None = None
    aggregated_environment: dict[str, Any] | None = None
    sglang_config: EngineConfig = field(default_factory=EngineConfig)
    kv_events_config: Any = None
    use_sglang_router: bool | None = None
    enable_multiple_frontends: bool | None = None
    num_additional_frontends: int | None = None


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """How long a worker may load: attempts times interval (seconds)."""

    max_attempts: int | None = None
    interval_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole recipe of schema 1. ``benchmark``: any table; its ``command`` is ours."""

    name: str | None = None
    schema: Literal[1, 2] | None = None
    model: Model = field(default_factory=Model)
    resources: Resources = field(default_factory=Resources)
    frontend: Frontend = field(default_factory=Frontend)
    backend: Backend = field(default_factory=Backend)
    health_check: HealthCheck | None = None
    environment: dict[str, Any] | None = None
    network: Network | None = None
    benchmark: Any = None
    on_fatal: OnFatal | None = None
    bounce_decodes: BounceDecodes | None = None
    hooks: tuple[Hook, ...] = ()
