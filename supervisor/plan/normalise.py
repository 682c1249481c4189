"""What the settings of a recipe mean together: recipe in, deployment and problems out.

Another form of recipes needs another function like ``normalise`` and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from supervisor.errors import Problem
from supervisor.plan import defaults, sglang
from supervisor.plan.deployment import Deployment, Engine, Front, Pool, PoolPaths
from supervisor.plan.limits import NAME, VARIABLE
from supervisor.plan.model import Role
from supervisor.plan.recipe import Backend, Frontend, HealthCheck, Recipe
from supervisor.plan.schema import show
from supervisor.plan.syntax import join

ROLES: Mapping[Role, str] = {"prefill": "prefill", "decode": "decode", "agg": "aggregated"}


def hopeless(values: Any) -> Problem | None:
    """Why nothing more can be said about a recipe, if so."""
    if values is None:
        return Problem("", "is empty")
    if not isinstance(values, dict):
        return Problem("", f"must be a table of settings, not {show(values)}")
    for key in values:
        if key == "base" or key.startswith(("override_", "zip_override_")):
            return Problem(key, "recipes with variants can't be used yet; give one variant alone")
    if "sweep" in values:
        return Problem(
            "sweep", "sweeps can't be used yet; give one point with its values filled in"
        )
    if values.get("schema") == 2:
        return Problem("schema", "schema 2 can't be used yet; write the recipe in schema 1")
    return None


def normalise(recipe: Recipe, engine: Engine | None) -> tuple[Deployment, tuple[Problem, ...]]:
    """The deployment a recipe asks for; meaningful only when there is no problem.

    ``engine`` goes before the recipe's ``backend.type``.
    """
    problems: list[Problem] = []
    environment = _environment(recipe.environment, "environment", problems)
    model_path = recipe.model.path or ""
    if not model_path:
        problems.append(Problem("model.path", "is missing: the model's directory or name"))
    deployment = Deployment(
        name=_name(recipe.name, problems),
        engine=engine or recipe.backend.type or "sglang",
        gpus_per_node=_count(
            recipe.resources.gpus_per_node,
            "resources.gpus_per_node",
            problems,
            default=defaults.GPUS_PER_NODE,
            least=1,
            most=defaults.MOST_GPUS_PER_NODE,
        ),
        spread_workers=bool(recipe.resources.spread_workers),
        pools=_pools(recipe, model_path, environment, problems),
        front=_front(recipe.frontend, recipe.backend, environment, problems),
        load_deadline_s=_load_deadline(recipe.health_check, problems),
    )
    return deployment, tuple(problems)


def _name(name: str | None, problems: list[Problem]) -> str:
    if not name:
        problems.append(Problem("name", "is missing: it names the run directory"))
    elif not NAME.fullmatch(name):
        problems.append(
            Problem("name", f"{show(name)} may hold only letters, digits, '.', '_' and '-'")
        )
    return name or "unnamed"


def _count(
    value: int | None,
    path: str,
    problems: list[Problem],
    *,
    default: int = 0,
    least: int = 0,
    most: int,
) -> int:
    if value is None:
        return default
    if not least <= value <= most:
        problems.append(Problem(path, f"must be {least} to {most}, not {value}"))
        return default
    return value


def _pools(
    recipe: Recipe, model_path: str, environment: Mapping[str, str], problems: list[Problem]
) -> tuple[Pool, ...]:
    resources = recipe.resources
    if resources.het_jobs:
        problems.append(Problem("resources.het_jobs", "heterogeneous jobs can't be used yet"))
    pools = {role: _pool(recipe, role, model_path, environment, problems) for role in ROLES}
    _check_bootstrap(pools["prefill"], pools["decode"], problems)
    wanted = tuple(pool for pool in pools.values() if pool.workers or pool.nodes)
    roles = {pool.role for pool in wanted}
    if not roles:
        hint = "prefill_nodes, prefill_workers, decode_nodes, decode_workers (or the agg_ ones)"
        problems.append(Problem("resources", f"names no workers; set {hint}"))
    elif roles == {"prefill"} or roles == {"decode"}:
        other = "decode" if "prefill" in roles else "prefill"
        problems.append(
            Problem(
                "resources", f"has {roles.pop()} workers but no {other} workers ({other}_workers)"
            )
        )
    elif "agg" in roles and len(roles) > 1:
        path = "resources.agg_workers" if resources.agg_workers else "resources.agg_nodes"
        problems.append(Problem(path, "aggregated workers go with no prefill and decode workers"))
    return wanted


def _pool(
    recipe: Recipe,
    role: Role,
    model_path: str,
    environment: Mapping[str, str],
    problems: list[Problem],
) -> Pool:
    resources, long = recipe.resources, ROLES[role]
    at = PoolPaths(
        nodes=f"resources.{role}_nodes",
        workers=f"resources.{role}_workers",
        gpus=f"resources.gpus_per_{role}",
        flags=f"backend.sglang_config.{long}",
    )
    nodes = _count(_get(resources, f"{role}_nodes"), at.nodes, problems, most=defaults.MOST_NODES)
    workers = _count(
        _get(resources, f"{role}_workers"), at.workers, problems, most=defaults.MOST_NODES
    )
    if nodes and not workers:
        problems.append(Problem(at.workers, f"must be at least 1: {role}_nodes is {nodes}"))
    gpus = _get(resources, f"gpus_per_{role}")
    if gpus is not None and gpus < 1:
        problems.append(Problem(at.gpus, f"a worker needs at least 1 GPU, not {gpus}"))
        gpus = None
    flags = _get(recipe.backend.sglang_config, long) or {}
    engine, wrong = sglang.settle(role, flags, model_path, at.flags)
    env_path = f"backend.{long}_environment"
    own = _environment(_get(recipe.backend, f"{long}_environment"), env_path, problems)
    problems += wrong
    return Pool(
        role=role,
        nodes=nodes,
        workers=workers,
        gpus=gpus,
        engine=engine,
        env={**own, **environment},  # as srtctl: the recipe's environment goes last
        at=at,
    )


def _get(table: object, name: str) -> Any:
    return getattr(table, name)


def _environment(
    given: Mapping[str, Any] | None, path: str, problems: list[Problem]
) -> dict[str, str]:
    found = {}
    for name, value in (given or {}).items():
        if not VARIABLE.fullmatch(name):
            problems.append(Problem(join(path, name), f"{name!r} can't name a variable"))
        elif isinstance(value, str) and "\0" not in value:
            found[name] = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = str(value)
        elif value is not None:
            hint = '; put it in quotes, as "1" or "true"' if isinstance(value, bool) else ""
            problems.append(Problem(join(path, name), f"must be text, not {show(value)}{hint}"))
    return found


def _front(
    frontend: Frontend, backend: Backend, environment: Mapping[str, str], problems: list[Problem]
) -> Front:
    _check_type(frontend, backend, problems)
    several = _either(frontend, backend, "enable_multiple_frontends", problems)
    number = _either(frontend, backend, "num_additional_frontends", problems)
    home = "frontend" if frontend.num_additional_frontends is not None else "backend"
    number_at = f"{home}.num_additional_frontends"
    additional = _count(
        number, number_at, problems, default=defaults.ADDITIONAL_FRONTENDS, most=defaults.MOST_NODES
    )
    older, at = frontend.sglang_router_args, "frontend.args"
    if older is not None and frontend.args is None:
        at = "frontend.sglang_router_args"
    elif older is not None:
        problems.append(Problem("frontend.sglang_router_args", "stands beside frontend.args"))
    args, wrong = sglang.settle_router(frontend.args or older or {}, at)
    problems += wrong
    own = _environment(frontend.env, "frontend.env", problems)
    return Front(
        additional=additional if several in (None, True) else None,
        args=args,
        env={**environment, **own},
        keepalive_timeout=frontend.nginx_keepalive_timeout,
        additional_at=number_at,
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


def _load_deadline(check: HealthCheck | None, problems: list[Problem]) -> float:
    if check is None:
        return defaults.LOAD_DEADLINE_S
    values = {
        "max_attempts": (check.max_attempts, defaults.HEALTH_ATTEMPTS),
        "interval_seconds": (check.interval_seconds, defaults.HEALTH_INTERVAL_S),
    }
    total = 1.0
    for name, (value, default) in values.items():
        if value is not None and not (value > 0 and math.isfinite(value) and value < 1e9):
            problems.append(Problem(f"health_check.{name}", f"must be more than 0, not {value}"))
            value = None
        total *= default if value is None else value
    return total


def _check_bootstrap(prefill: Pool, decode: Pool, problems: list[Problem]) -> None:
    """Prefill and decode may both pin the bootstrap port, to the same number."""
    first, second = prefill.engine.bootstrap_port, decode.engine.bootstrap_port
    if first and second and first != second:
        message = f"is {second} here and {first} for prefill; they must be equal"
        problems.append(Problem(join(decode.at.flags, sglang.BOOTSTRAP), message))
