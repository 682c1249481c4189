"""Recipes of schema 1, as srtctl defines it: their tables, and how they become a deployment.

Every setting is optional in these classes, so that one mistake hides no other. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pdsup.errors import Problem
from pdsup.plan.engines.engine import EngineName
from pdsup.plan.engines.known import ENGINES
from pdsup.plan.model import Role
from pdsup.plan.recipe import settings
from pdsup.plan.recipe.deployment import Deployment, PoolPaths
from pdsup.plan.recipe.settings import Layout, RoleTable
from pdsup.plan.recipe.tables import CommonRecipe, Frontend, Resources
from pdsup.typed import show

# Settings of srtctl that are accepted but not used, such as containers and job submission, by
# table; "" is the top level.
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
class Schema1Resources(Resources):
    """How many nodes and workers each role has, and how many GPUs each worker has."""

    prefill_nodes: int | None = None
    prefill_workers: int | None = None
    gpus_per_prefill: int | None = None
    decode_nodes: int | None = None
    decode_workers: int | None = None
    gpus_per_decode: int | None = None
    agg_nodes: int | None = None
    agg_workers: int | None = None
    gpus_per_agg: int | None = None


@dataclass(frozen=True, kw_only=True)
class Schema1Frontend(Frontend):
    """Routers and nginx. ``use_sglang_router`` and ``sglang_router_args`` are older names."""

    use_sglang_router: bool | None = None
    sglang_router_args: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """The engine's flags, by role."""

    prefill: dict[str, Any] | None = None
    decode: dict[str, Any] | None = None
    aggregated: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The engine. Its three frontend settings were here before ``frontend`` existed.

    ``kv_events_config``: true, a table for all roles, or a table with an entry for each role.
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
class Recipe(CommonRecipe):
    """A whole recipe of schema 1. ``benchmark``: see ``benchmark.py``."""

    schema: Literal[1, 2] | None = None
    resources: Schema1Resources = field(default_factory=Schema1Resources)
    frontend: Schema1Frontend = field(default_factory=Schema1Frontend)
    backend: Backend = field(default_factory=Backend)


ROLES: Mapping[Role, str] = {"prefill": "prefill", "decode": "decode", "agg": "aggregated"}
SET_TYPE = "set frontend.type: sglang, or try --set frontend.type=sglang"
HINT = "prefill_nodes, prefill_workers, decode_nodes, decode_workers (or the agg_ ones)"


def deployment(recipe: Recipe, engine: EngineName | None, problems: list[Problem]) -> Deployment:
    """The deployment of a recipe. ``engine`` overrides ``backend.type``."""
    kind = engine or recipe.backend.type or "sglang"
    return settings.deployment(recipe, ENGINES[kind], _layout(recipe, problems), problems)


def _layout(recipe: Recipe, problems: list[Problem]) -> Layout:
    frontend, backend = recipe.frontend, recipe.backend
    _check_type(frontend, backend, problems)
    home = "frontend" if frontend.num_additional_frontends is not None else "backend"
    older, args_at = frontend.sglang_router_args, "frontend.args"
    if older is not None and frontend.args is None:
        args_at = "frontend.sglang_router_args"
    elif older is not None:
        message = "is set beside frontend.args; keep one"
        problems.append(Problem("frontend.sglang_router_args", message))
    return Layout(
        roles={role: _role(recipe, role) for role in ROLES},
        frontend=replace(
            frontend,
            enable_multiple_frontends=_either(
                frontend, backend, "enable_multiple_frontends", problems
            ),
            num_additional_frontends=_either(
                frontend, backend, "num_additional_frontends", problems
            ),
            args=older if frontend.args is None else frontend.args,
        ),
        additional_at=f"{home}.num_additional_frontends",
        args_at=args_at,
        at="resources",
        hint=HINT,
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
            restart=f"restart.{role}",
        ),
        env_at=f"backend.{long}_environment",
    )


def _kv_events(given: Any, role: Role) -> Any:
    """The part of the setting for one role: it may have an entry for each."""
    names = {*ROLES, *ROLES.values()}
    if isinstance(given, dict) and given and names >= given.keys():
        return given.get(ROLES[role], given.get(role))
    return given


def _get(table: object, name: str) -> Any:
    return getattr(table, name)


def _check_type(frontend: Schema1Frontend, backend: Backend, problems: list[Problem]) -> None:
    use = frontend.use_sglang_router or backend.use_sglang_router
    older = "frontend" if frontend.use_sglang_router else "backend"
    match frontend.type:
        case "sglang":
            return
        case None if use:
            return
        case None:
            message = f"defaults to dynamo, which is not supported yet; {SET_TYPE}"
        case "dynamo" if use:
            message = f"is dynamo, but {older}.use_sglang_router is true; {SET_TYPE}"
        case "dynamo" | "trtllm_serve" | "vllm":
            message = f"{frontend.type} is not supported yet; {SET_TYPE}"
        case other:
            message = f"{show(other)} is unknown; {SET_TYPE}"
    problems.append(Problem("frontend.type", message))


def _either(
    frontend: Schema1Frontend,
    backend: Backend,
    name: Literal["enable_multiple_frontends", "num_additional_frontends"],
    problems: list[Problem],
) -> Any:
    """A setting under ``frontend``, or in an older recipe under ``backend``."""
    newer, older = _get(frontend, name), _get(backend, name)
    if None not in (newer, older) and newer != older:
        message = f"is {show(older)} here and {show(newer)} under frontend; keep one"
        problems.append(Problem(f"backend.{name}", message))
    return older if newer is None else newer
