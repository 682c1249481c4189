"""The meaning of a recipe's settings, for both schemas.

Each function appends to ``problems`` and still returns a usable value, so that checking can
continue. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pdsup.errors import Problem
from pdsup.plan import defaults
from pdsup.plan.check_sizes import too_long
from pdsup.plan.check_values import NAME, VARIABLE, bad_name
from pdsup.plan.document.syntax import join
from pdsup.plan.engines.engine import Engine, Given
from pdsup.plan.frontends.known import FRONTENDS
from pdsup.plan.model import Role
from pdsup.plan.recipe import benchmark
from pdsup.plan.recipe.deployment import Deployment, Front, Pool, PoolPaths
from pdsup.plan.recipe.tables import (
    CommonRecipe,
    Frontend,
    HealthCheck,
    Model,
    RoleRestart,
    UnitLog,
)
from pdsup.plan.recipe.unit_settings import count, log, restart
from pdsup.plan.recipe.words import words
from pdsup.typed import show


@dataclass(frozen=True, kw_only=True)
class RoleTable:
    """A recipe's settings for one role, and their paths."""

    role: Role
    nodes: int | None
    workers: int | None
    gpus: int | None
    flags: Mapping[str, Any] | None
    env: Mapping[str, Any] | None
    kv_events: Any
    extra_args: Any = None
    restart: RoleRestart | None = None
    log: UnitLog | None = None
    at: PoolPaths
    env_at: str
    extra_args_at: str = ""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The settings whose place depends on the schema. ``*_at``: their paths in this recipe.

    ``at``: the path of the table that says how many nodes it takes; ``hint``: what to set there.
    """

    roles: Mapping[Role, RoleTable]
    frontend: Frontend
    additional_at: str
    args_at: str
    at: str
    hint: str


def deployment(
    recipe: CommonRecipe, engine: Engine, layout: Layout, problems: list[Problem]
) -> Deployment:
    """The deployment that a recipe asks for."""
    environment = variables(recipe.environment, "environment", problems)
    path = model_path(recipe.model, problems)
    pools = {
        role: pool(_cared(table, recipe, problems), path, environment, engine, problems)
        for role, table in layout.roles.items()
    }
    het_jobs = bool(recipe.resources.het_jobs) and not pools["agg"].workers
    serving = pools["agg"] if pools["agg"].workers else pools["decode"]
    return Deployment(
        name=name(recipe.name, problems),
        engine=engine,
        gpus_per_node=gpus_per_node(recipe.resources.gpus_per_node, problems),
        spread_workers=bool(recipe.resources.spread_workers),
        pools=check_roles(pools, engine, het_jobs, layout, problems),
        front=front(recipe, layout, environment, problems),
        het_jobs=het_jobs,
        at=layout.at,
        load_deadline_s=load_deadline(recipe.health_check, problems),
        benchmark=benchmark.command(recipe.benchmark, problems),
        benchmark_env=_benchmark_env(recipe.benchmark, problems),
        sweep=benchmark.sweep(recipe.benchmark, engine, serving.engine, problems),
        benchmark_log=log(recipe.log.benchmark),
        on_fatal=recipe.on_fatal or "continue",
        bounce_decodes=recipe.bounce_decodes or "never",
        hooks=recipe.hooks,
        secrets=recipe.secrets,
        readable_by=recipe.readable_by,
    )


def name(given: str | None, problems: list[Problem]) -> str:
    """The name of the deployment."""
    if not given:
        problems.append(Problem("name", "is missing: the run directory is named after it"))
    elif not NAME.fullmatch(given):
        problems.append(Problem("name", bad_name(given)))
    return given or "unnamed"


def model_path(model: Model, problems: list[Problem]) -> str:
    """The model's directory or name."""
    if not model.path:
        problems.append(Problem("model.path", "is missing: the model's directory or name"))
    elif why := too_long(model.path):
        problems.append(Problem("model.path", why))
        return ""
    return model.path or ""


def gpus_per_node(given: int | None, problems: list[Problem]) -> int:
    """How many GPUs a node has."""
    return count(
        given,
        "resources.gpus_per_node",
        problems,
        default=defaults.GPUS_PER_NODE,
        least=1,
        most=defaults.MOST_GPUS_PER_NODE,
    )


def _cared(table: RoleTable, recipe: CommonRecipe, problems: list[Problem]) -> RoleTable:
    """The table with ``restart`` and ``log`` of its role; in schema 2 it may have a ``restart``."""
    at = f"restart.{table.role}"
    given: RoleRestart | None = getattr(recipe.restart, table.role)
    if given is not None and table.restart is not None:
        problems.append(Problem(at, f"is set beside {table.at.restart}; keep one"))
    if given is not None:
        table = replace(table, restart=given, at=replace(table.at, restart=at))
    return replace(table, log=getattr(recipe.log, table.role))


def pool(
    table: RoleTable,
    model_path: str,
    environment: Mapping[str, str],
    engine: Engine,
    problems: list[Problem],
) -> Pool:
    """The pool of one role."""
    at = table.at
    nodes = count(table.nodes, at.nodes, problems, most=defaults.MOST_NODES)
    workers = count(table.workers, at.workers, problems, most=defaults.MOST_NODES)
    if nodes and not table.workers:
        name = at.nodes.rpartition(".")[2]
        problems.append(Problem(at.workers, f"must be at least 1: {name} is {nodes}"))
    gpus = table.gpus
    if gpus is not None and gpus < 1:
        problems.append(Problem(at.gpus, f"a worker needs at least 1 GPU, not {gpus}"))
        gpus = None
    settings, wrong = engine.settle(
        Given(
            role=table.role,
            model_path=model_path,
            flags=table.flags or {},
            kv_events=table.kv_events,
            extra_args=words(table.extra_args, table.extra_args_at, problems),
            flags_at=at.flags,
            kv_events_at=at.kv_events,
        )
    )
    problems += wrong
    own = variables(table.env, table.env_at, problems)
    return Pool(
        role=table.role,
        nodes=nodes,
        workers=workers,
        gpus=gpus,
        engine=settings,
        env={**own, **environment},  # as in srtctl, the recipe's environment wins
        restart=restart(engine.restart[table.role], table.restart, at.restart, problems),
        log=log(table.log),
        at=at,
    )


def check_roles(
    pools: Mapping[Role, Pool],
    engine: Engine,
    het_jobs: bool,
    layout: Layout,
    problems: list[Problem],
) -> tuple[Pool, ...]:
    """The pools with workers: prefill and decode, or aggregated."""
    at, hint = layout.at, layout.hint
    _check_bootstrap(pools["prefill"], pools["decode"], engine, problems)
    wanted = tuple(pool for pool in pools.values() if pool.workers or pool.nodes)
    roles = {pool.role for pool in wanted}
    if not roles:
        problems.append(Problem(at, f"names no workers; set {hint}"))
    elif roles == {"prefill"} or roles == {"decode"}:
        present, missing = ("prefill", "decode") if "prefill" in roles else ("decode", "prefill")
        path = pools[missing].at.workers.removeprefix(f"{at}.")  # type: ignore[index]
        problems.append(Problem(at, f"has {present} workers but no {missing} workers ({path})"))
    elif "agg" in roles and len(roles) > 1:
        path = pools["agg"].at.workers if pools["agg"].workers else pools["agg"].at.nodes
        message = "aggregated workers can't be combined with prefill and decode workers"
        problems.append(Problem(path, message))
    for pool in wanted if het_jobs else ():
        if not pool.nodes:
            message = "is 0, but in a heterogeneous job each role has nodes of its own"
            problems.append(Problem(pool.at.nodes, message))
    return wanted


def front(
    recipe: CommonRecipe, layout: Layout, environment: Mapping[str, str], problems: list[Problem]
) -> Front:
    """The routers and nginx."""
    table = layout.frontend
    additional = count(
        table.num_additional_frontends,
        layout.additional_at,
        problems,
        default=defaults.ADDITIONAL_FRONTENDS,
        most=defaults.MOST_NODES,
    )
    program = FRONTENDS[table.launcher or "sglang_router.launch_router"]
    args, wrong = program.settle(table.args or {}, layout.args_at)
    problems += wrong
    own = variables(table.env, "frontend.env", problems)
    nginx = _nginx(table)
    binary = nginx.pop("binary", defaults.NGINX)
    return Front(
        additional=additional if table.enable_multiple_frontends in (None, True) else None,
        port=count(
            table.port,
            "frontend.port",
            problems,
            default=defaults.FRONT_PORT,
            least=1,
            most=65535,
        ),
        args=args,
        env={**environment, **own},
        program=program,
        start_with=table.start_with or {},
        restart_with=table.restart_with or {},
        nginx=nginx,
        nginx_binary=binary,
        router_restart=restart(
            defaults.FRONT_RESTART, recipe.restart.router, "restart.router", problems
        ),
        router_log=log(recipe.log.router),
        nginx_restart=restart(
            defaults.FRONT_RESTART, recipe.restart.nginx, "restart.nginx", problems
        ),
        nginx_log=log(recipe.log.nginx),
        additional_at=layout.additional_at,
        args_at=layout.args_at,
    )


def _benchmark_env(given: Any, problems: list[Problem]) -> dict[str, str]:
    env = given.get("env") if isinstance(given, dict) and given.get("command") else None
    if env is not None and not isinstance(env, dict):
        problems.append(Problem("benchmark.env", f"must be a table, not {show(env)}"))
        return {}
    return variables(env, "benchmark.env", problems)


def _nginx(table: Frontend) -> dict[str, Any]:
    """The settings of nginx, by their names in the plan."""
    return {
        name.removeprefix("nginx_"): value
        for name, value in vars(table).items()
        if name.startswith("nginx_") and value is not None
    }


def variables(
    given: Mapping[str, Any] | None, path: str, problems: list[Problem]
) -> dict[str, str]:
    """The environment variables in a table, numbers as text."""
    variables = {}
    for name, value in (given or {}).items():
        if isinstance(value, str) and (why := too_long(name, value)):
            problems.append(Problem(join(path, name), why))
        elif not VARIABLE.fullmatch(name):
            problems.append(
                Problem(join(path, name), f"{show(name)} can't be the name of a variable")
            )
        elif isinstance(value, str) and "\0" not in value:
            variables[name] = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            variables[name] = str(value)
        elif value is not None:
            hint = '; put it in quotes, as "1" or "true"' if isinstance(value, bool) else ""
            problems.append(Problem(join(path, name), f"must be text, not {show(value)}{hint}"))
    return variables


def load_deadline(check: HealthCheck | None, problems: list[Problem]) -> float:
    """How many seconds a worker may take to load."""
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


def _check_bootstrap(prefill: Pool, decode: Pool, engine: Engine, problems: list[Problem]) -> None:
    """Checks that prefill and decode, if both pin the bootstrap port, pin the same one."""
    first, second = prefill.engine.bootstrap_port, decode.engine.bootstrap_port
    if first and second and first != second:
        message = f"is {second} here and {first} for prefill; they must be equal"
        problems.append(Problem(join(decode.at.flags, engine.port_flags["bootstrap"]), message))
