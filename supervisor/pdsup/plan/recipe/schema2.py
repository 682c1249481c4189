"""Recipes of schema 2, as srtctl defines it: their tables, and how they become a deployment.

Every setting is optional in these classes, so that one mistake hides no other. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pdsup.errors import Problem
from pdsup.plan import defaults
from pdsup.plan.engines.engine import EngineName
from pdsup.plan.engines.known import ENGINES
from pdsup.plan.model import Role
from pdsup.plan.recipe import schema1, settings
from pdsup.plan.recipe.deployment import Deployment, Pool, PoolPaths
from pdsup.plan.recipe.settings import Layout, RoleTable
from pdsup.plan.recipe.tables import CommonRecipe, RoleRestart
from pdsup.typed import show, suggestion

COLOCATE = "colocate"
ROLES: tuple[Role, ...] = ("prefill", "decode", "agg")
# One aggregated worker that clients talk to directly.
ALONE = "sglang"
SET_TYPE = "set frontend.type: sglang-router, or try --set frontend.type=sglang-router"
HINT = "roles.prefill and roles.decode (or roles.agg), each with nodes and workers"


def deployment(
    recipe: RolesRecipe, engine: EngineName | None, problems: list[Problem]
) -> Deployment:
    """The deployment of a recipe. ``engine`` overrides the recipe's engine."""
    own = _engine(recipe.engine, problems)
    roles = {role: _role(role, getattr(recipe.roles, role), problems) for role in ROLES}
    frontend = recipe.frontend
    if frontend.type == "smg":
        frontend = replace(frontend, launcher="smg launch")
    layout = Layout(
        roles=roles,
        frontend=frontend,
        additional_at="frontend.num_additional_frontends",
        args_at="frontend.args",
        at="roles",
        hint=HINT,
    )
    wanted = settings.deployment(recipe, ENGINES[engine or own], layout, problems)
    if frontend.type == ALONE:
        return _alone(wanted, problems)
    _check_type(frontend.type, problems)
    return wanted


def _engine(given: Any, problems: list[Problem]) -> EngineName:
    """The engine's name, given by itself or as the ``type`` of a table."""
    name, path = given, "engine"
    if isinstance(given, dict):
        name, path = given.get("type"), "engine.type"
    for known in ENGINES:
        if name == known:
            return known
    if name is not None:
        hint = suggestion(name, ENGINES) if isinstance(name, str) else ""
        message = f"{show(name)} is not supported; set {path}: sglang{hint}"
        problems.append(Problem(path, message))
    return "sglang"


def _role(role: Role, given: RoleEntry, problems: list[Problem]) -> RoleTable:
    at = f"roles.{role}"
    return RoleTable(
        role=role,
        nodes=_nodes(role, given.nodes, problems),
        workers=given.workers,
        gpus=given.gpus,
        flags=given.args,
        env=given.env,
        kv_events=given.kv_events,
        extra_args=given.extra_args,
        restart=given.restart,
        at=PoolPaths(
            nodes=f"{at}.nodes",
            workers=f"{at}.workers",
            gpus=f"{at}.gpus",
            flags=f"{at}.args",
            kv_events=f"{at}.kv_events",
            restart=f"{at}.restart",
        ),
        env_at=f"{at}.env",
        extra_args_at=f"{at}.extra_args",
    )


def _nodes(role: Role, given: Any, problems: list[Problem]) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    if given == COLOCATE and role == "decode":
        return 0
    if given == COLOCATE:
        message = "only decode can share another role's nodes; give a number"
    else:
        either = f" or {COLOCATE}" if role == "decode" else ""
        message = f"must be a whole number{either}, not {show(given)}"
    problems.append(Problem(f"roles.{role}.nodes", message))
    return None


def _alone(wanted: Deployment, problems: list[Problem]) -> Deployment:
    """The deployment with its only worker in place of routers and nginx."""
    if [(pool.role, pool.workers) for pool in wanted.pools] != [("agg", 1)]:
        message = f"is one aggregated worker without a router; {SET_TYPE}"
        problems.append(Problem("frontend.type", message))
        return wanted
    port = defaults.FRONT_PORT if wanted.front is None else wanted.front.port
    return replace(wanted, front=None, pools=tuple(_in_front(pool, port) for pool in wanted.pools))


def _in_front(pool: Pool, port: int) -> Pool:
    """The pool with its worker on the port that clients use."""
    return replace(pool, engine=replace(pool.engine, port=pool.engine.port or port))


def _check_type(given: str | None, problems: list[Problem]) -> None:
    match given:
        case "sglang-router" | "smg":
            return
        case None:
            message = f"defaults to dynamo, which is not supported yet; {SET_TYPE}"
        case "dynamo" | "trtllm_serve" | "vllm":
            message = f"{given} is not supported yet; {SET_TYPE}"
        case _:
            message = f"{show(given)} is unknown; {SET_TYPE}"
    problems.append(Problem("frontend.type", message))


_ROLE = frozenset({"container", "critical", "engine", "model", "placement", "sidecar"})
# As in ``plan/recipe/schema1.py``, by dotted table.
IGNORED: Mapping[str, frozenset[str]] = {
    "": schema1.IGNORED[""] | {"placement"},
    "model": schema1.IGNORED["model"],
    "resources": schema1.IGNORED["resources"],
    "frontend": schema1.IGNORED["frontend"] | {"container", "container_image"},
    "roles.prefill": _ROLE,
    "roles.decode": _ROLE,
    "roles.agg": _ROLE,
}


@dataclass(frozen=True, kw_only=True)
class RoleEntry:
    """The workers of one role. ``nodes``: a number, or ``colocate`` (decode only).

    ``extra_args``: words, as a list or a text. ``kv_events``: true or a table.
    """

    # Any: more than one type is allowed, so functions check these values.
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

    prefill: RoleEntry = field(default_factory=RoleEntry)
    decode: RoleEntry = field(default_factory=RoleEntry)
    agg: RoleEntry = field(default_factory=RoleEntry)


@dataclass(frozen=True, kw_only=True)
class RolesRecipe(CommonRecipe):
    """A whole recipe of schema 2. ``engine``: a name, or a table with ``type``. ``benchmark``: see
    ``benchmark.py``.
    """

    schema: Literal[2]
    engine: Any = None
    roles: Roles = field(default_factory=Roles)
