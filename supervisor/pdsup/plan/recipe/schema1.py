"""A recipe of schema 1, as srtctl defines it: its tables, and what its settings mean together.

Every setting may be left out here, so that one mistake hides no other. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pdsup.errors import Problem
from pdsup.plan.engines.engine import EngineName
from pdsup.plan.engines.known import ENGINES
from pdsup.plan.frontends.frontend import Launcher
from pdsup.plan.model import BounceDecodes, Hook, OnFatal, Role
from pdsup.plan.recipe import settings
from pdsup.plan.recipe.deployment import Deployment, PoolPaths
from pdsup.plan.recipe.settings import FrontTable, RoleTable
from pdsup.plan.recipe.tables import HealthCheck, Model, Network
from pdsup.typed import show

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

    type: EngineName | None = None
    prefill_environment: dict[str, Any] | None = None
    decode_environment: dict[str, Any] | None = None
    aggregated_environment: dict[str, Any] | None = None
    sglang_config: EngineConfig = field(default_factory=EngineConfig)
    kv_events_config: Any = None
    use_sglang_router: bool | None = None
    enable_multiple_frontends: bool | None = None
    num_additional_frontends: int | None = None


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


ROLES: Mapping[Role, str] = {"prefill": "prefill", "decode": "decode", "agg": "aggregated"}
HINT = "prefill_nodes, prefill_workers, decode_nodes, decode_workers (or the agg_ ones)"


def deployment(recipe: Recipe, engine: EngineName | None, problems: list[Problem]) -> Deployment:
    """The deployment; ``engine`` goes before ``backend.type``."""
    environment = settings.variables(recipe.environment, "environment", problems)
    path = settings.model_path(recipe.model, problems)
    resources = recipe.resources
    program = ENGINES[engine or recipe.backend.type or "sglang"]
    pools = {
        role: settings.pool(_role(recipe, role), path, environment, program, problems)
        for role in ROLES
    }
    het_jobs = bool(resources.het_jobs) and not pools["agg"].workers
    return Deployment(
        name=settings.name(recipe.name, problems),
        engine=program,
        gpus_per_node=settings.gpus_per_node(resources.gpus_per_node, problems),
        spread_workers=bool(resources.spread_workers),
        pools=settings.check_roles(pools, program, het_jobs, "resources", HINT, problems),
        front=settings.front(
            _front(recipe.frontend, recipe.backend, problems), environment, problems
        ),
        het_jobs=het_jobs,
        at="resources",
        load_deadline_s=settings.load_deadline(recipe.health_check, problems),
        benchmark=settings.benchmark(recipe.benchmark, problems),
        on_fatal=recipe.on_fatal or "continue",
        bounce_decodes=recipe.bounce_decodes or "never",
        hooks=recipe.hooks,
    )


def _role(recipe: Recipe, role: Role) -> RoleTable:
    resources, backend, long = recipe.resources, recipe.backend, ROLES[role]
    return RoleTable(
        role=role,
        nodes=_get(resources, f"{role}_nodes"),
        workers=_get(resources, f"{role}_workers"),
        gpus=_get(resources, f"gpus_per_{role}"),
        flags=_get(backend.sglang_config, long),
        env=_get(backend, f"{long}_environment"),
        kv_events=_kv_events(backend.kv_events_config, role),
        at=PoolPaths(
            nodes=f"resources.{role}_nodes",
            workers=f"resources.{role}_workers",
            gpus=f"resources.gpus_per_{role}",
            flags=f"backend.sglang_config.{long}",
            kv_events="backend.kv_events_config",
        ),
        env_at=f"backend.{long}_environment",
    )


def _kv_events(given: Any, role: Role) -> Any:
    """What of the setting concerns a role: it may have a table for each."""
    names = {*ROLES, *ROLES.values()}
    if isinstance(given, dict) and given and names >= given.keys():
        return given.get(ROLES[role], given.get(role))
    return given


def _get(table: object, name: str) -> Any:
    return getattr(table, name)


def _front(frontend: Frontend, backend: Backend, problems: list[Problem]) -> FrontTable:
    _check_type(frontend, backend, problems)
    home = "frontend" if frontend.num_additional_frontends is not None else "backend"
    older, at = frontend.sglang_router_args, "frontend.args"
    if older is not None and frontend.args is None:
        at = "frontend.sglang_router_args"
    elif older is not None:
        problems.append(Problem("frontend.sglang_router_args", "stands beside frontend.args"))
    return FrontTable(
        several=_either(frontend, backend, "enable_multiple_frontends", problems),
        additional=_either(frontend, backend, "num_additional_frontends", problems),
        args=older if frontend.args is None else frontend.args,
        env=frontend.env,
        launcher=frontend.launcher,
        start_with=frontend.start_with,
        restart_with=frontend.restart_with,
        nginx=settings.nginx(frontend),
        additional_at=f"{home}.num_additional_frontends",
        args_at=at,
    )


def _check_type(frontend: Frontend, backend: Backend, problems: list[Problem]) -> None:
    use = frontend.use_sglang_router or backend.use_sglang_router
    older = "frontend" if frontend.use_sglang_router else "backend"
    match frontend.type:
        case "sglang":
            return
        case None if use:
            return
        case None:
            message = "would be dynamo, which can't be used yet; set frontend.type: sglang"
        case "dynamo" if use:
            message = f"is dynamo, but {older}.use_sglang_router is true; set type: sglang"
        case "dynamo" | "trtllm_serve" | "vllm":
            message = f"{frontend.type} can't be used yet; set frontend.type: sglang"
        case other:
            message = f"{show(other)} is unknown; set frontend.type: sglang"
    problems.append(Problem("frontend.type", message))


def _either(
    frontend: Frontend,
    backend: Backend,
    name: Literal["enable_multiple_frontends", "num_additional_frontends"],
    problems: list[Problem],
) -> Any:
    """A setting that stood under backend first and under frontend later."""
    newer, older = _get(frontend, name), _get(backend, name)
    if None not in (newer, older) and newer != older:
        message = f"is {show(older)} here and {show(newer)} under frontend; keep one"
        problems.append(Problem(f"backend.{name}", message))
    return older if newer is None else newer
