"""A deployment on given nodes becomes a plan: every unit with its ports, command, gate and probes.

Pure and deterministic: the same deployment and nodes give the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping

from supervisor.errors import Problem
from supervisor.plan import defaults, front, graph, placement, sglang, workers
from supervisor.plan.deployment import Deployment
from supervisor.plan.model import Bind, Node, Plan, PlanUnit
from supervisor.plan.placement import Site
from supervisor.plan.syntax import join


def compile_plan(
    deployment: Deployment, nodes: tuple[Node, ...], bind: Bind
) -> tuple[Plan | None, tuple[Problem, ...]]:
    """The checked plan on the first nodes of ``nodes``, or problems with paths of the recipe."""
    placed, problems = placement.place(deployment)
    problems += _size_problems(deployment, len(nodes))
    if problems:
        return None, problems
    site = Site(nodes[: deployment.nodes], bind)
    units = workers.workers(placed, deployment, site)
    leaders = tuple(unit for unit in units if not unit.rank)
    routers = front.routers(leaders, deployment, site)
    plan = Plan(
        plan=1,
        name=deployment.name,
        nodes=site.nodes,
        units=(*units, *routers, *front.nginx(routers, deployment.front, site)),
        bind=bind,
    )
    found = graph.check(plan)
    in_recipe = [_in_recipe(problem, plan, deployment) for problem in found]
    # Several workers have a wrong setting in common; one line says it.
    first = {problem.path: problem for problem in reversed(in_recipe)}
    return (None if found else plan), tuple(first.values())


def _size_problems(deployment: Deployment, given: int) -> tuple[Problem, ...]:
    if given < deployment.nodes:
        message = f"takes {deployment.nodes} nodes, but only {given} are given"
        return (Problem("resources", message),)
    targets = sum(pool.workers for pool in deployment.pools)
    routers = len(placement.router_nodes(deployment.nodes, deployment.front.additional or 0))
    if targets * routers > defaults.MOST_ROUTES:
        message = f"{routers} routers over {targets} workers make the plan too large; take fewer"
        return (Problem(deployment.front.additional_at, message),)
    return ()


# Where a port's number comes from, when the recipe says it.
PINS: Mapping[str, str] = {
    "http": "port",
    "bootstrap": sglang.BOOTSTRAP,
    "prometheus": sglang.PROMETHEUS_PORT,
}


def _in_recipe(problem: Problem, plan: Plan, deployment: Deployment) -> Problem:
    """A problem of the plan at the setting of the recipe that causes it."""
    match problem.path.split("."):
        case ["nodes", *_]:
            return Problem("", f"the nodes: {problem.message}")
        case ["units", index, *rest]:
            path = _cause(plan.units[int(index)], rest, deployment)
            return Problem(path, problem.message)
        case _:
            return problem


def _cause(unit: PlanUnit, inside: list[str], deployment: Deployment) -> str:
    if unit.kind == "nginx":
        return "frontend.nginx_keepalive_timeout"
    pool = next((pool for pool in deployment.pools if pool.role == unit.role), None)
    at = deployment.front.args_at if pool is None else pool.at.flags
    match inside:
        case ["ports", purpose] if purpose in PINS:
            return join(at, PINS[purpose])
        case _:
            return at
