"""Compiles a deployment for given nodes into a plan, with all units in order.

The same deployment and nodes always give the same plan, so that every agent can compile it for
itself. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pdsup.errors import Problem
from pdsup.plan import defaults
from pdsup.plan.compile import front, placement, workers
from pdsup.plan.compile.placement import Site
from pdsup.plan.model import Bind, Node, Plan
from pdsup.plan.recipe.deployment import Deployment
from pdsup.plan.recipe_paths import Causes


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan that is not checked yet, and the recipe's setting behind each of its parts."""

    plan: Plan
    causes: Causes


def compile_plan(
    deployment: Deployment, nodes: tuple[Node, ...], bind: Bind
) -> tuple[Compiled | None, tuple[Problem, ...]]:
    """The plan on the first of ``nodes``, or the problems, with paths of the recipe."""
    placed, problems = placement.place(deployment)
    own, lacking = _own_nodes(deployment, nodes)
    problems += lacking or _size_problems(deployment, len(own))
    if problems:
        return None, problems
    site = Site(own, bind)
    units = workers.workers(placed, deployment, site)
    leaders = tuple(unit for unit in units if not unit.rank)
    routers = front.routers(leaders, deployment, site)
    balancers = front.nginx(routers, deployment.front, site)
    plan = Plan(
        plan=1,
        name=deployment.name,
        nodes=site.nodes,
        units=front.benchmark((*units, *routers, *balancers), deployment, site),
        bind=bind,
        on_fatal=deployment.on_fatal,
        bounce_decodes=deployment.bounce_decodes,
        hooks=deployment.hooks,
        secrets=deployment.secrets,
        readable_by=deployment.readable_by,
        sweep=deployment.sweep,
    )
    return Compiled(plan, _causes(plan, deployment)), ()


def _own_nodes(
    deployment: Deployment, nodes: tuple[Node, ...]
) -> tuple[tuple[Node, ...], tuple[Problem, ...]]:
    """The nodes to use: the first ones, or in a heterogeneous job the first of each component."""
    if not deployment.het_jobs or all(node.group is None for node in nodes):
        return nodes[: deployment.nodes], ()
    own: list[Node] = []
    problems = []
    for group, pool in enumerate(deployment.pools):
        members = [node for node in nodes if node.group == group]
        own += members[: pool.nodes]
        if len(members) < pool.nodes:
            has = f"component {group} of the job has only {len(members)}"
            problems.append(Problem(pool.at.nodes, f"is {pool.nodes}, but {has}"))
    return tuple(own), tuple(problems)


def _size_problems(deployment: Deployment, given: int) -> tuple[Problem, ...]:
    if given < deployment.nodes:
        message = f"takes {deployment.nodes} nodes, but only {given} are given"
        return (Problem(deployment.at, message),)
    if deployment.front is None:
        return ()
    targets = sum(pool.workers for pool in deployment.pools)
    routers = len(placement.router_nodes(deployment.nodes, deployment.front.additional or 0))
    if targets * routers > defaults.MOST_ROUTES:
        message = f"{routers} routers over {targets} workers make the plan too large; take fewer"
        return (Problem(deployment.front.additional_at, message),)
    return ()


def _causes(plan: Plan, deployment: Deployment) -> Causes:
    makers: dict[str, Mapping[str, str]] = {
        "nginx": front.NGINX_CAUSES,
        "benchmark": front.BENCHMARK_CAUSES,
    }
    for pool in deployment.pools:
        makers[pool.role] = workers.causes(pool, deployment.engine)
    if deployment.front:
        makers["router"] = front.router_causes(deployment.front)
    return Causes(
        {
            f"units.{index}.{part}".rstrip("."): cause
            for index, unit in enumerate(plan.units)
            for part, cause in makers[unit.role or unit.kind].items()
        }
    )
