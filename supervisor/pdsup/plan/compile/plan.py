"""A deployment on given nodes becomes a plan: every unit with its ports, command, gate and probes.

Deterministic: the same deployment and nodes give the same plan. Pure.
"""

from __future__ import annotations

from pdsup.errors import Problem
from pdsup.plan import defaults
from pdsup.plan.compile import check_relations, front, placement, workers
from pdsup.plan.compile.placement import Site
from pdsup.plan.document.syntax import join
from pdsup.plan.model import Bind, Node, Plan, PlanUnit
from pdsup.plan.recipe.deployment import Deployment


def compile_plan(
    deployment: Deployment, nodes: tuple[Node, ...], bind: Bind
) -> tuple[Plan | None, tuple[Problem, ...]]:
    """The checked plan on the first nodes of ``nodes``, or problems with paths of the recipe."""
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
    )
    found = check_relations.check(plan)
    in_recipe = [_in_recipe(problem, plan, deployment) for problem in found]
    # Several workers have a wrong setting in common; one line says it.
    first = {problem.path: problem for problem in reversed(in_recipe)}
    return (None if found else plan), tuple(first.values())


def _own_nodes(
    deployment: Deployment, nodes: tuple[Node, ...]
) -> tuple[tuple[Node, ...], tuple[Problem, ...]]:
    """The nodes it runs on: the first, or in a heterogeneous job the first of each component."""
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
    if unit.kind == "benchmark":
        return "benchmark"
    if unit.kind == "nginx":
        if inside == ["command"]:
            return "frontend.nginx_binary"
        return f"frontend.nginx_{inside[-1]}" if inside[:1] == ["nginx"] else "frontend"
    pool = next((pool for pool in deployment.pools if pool.role == unit.role), None)
    front = None if pool else deployment.front
    pins = deployment.engine.port_flags if pool else front.program.port_flags if front else {}
    at = pool.at.flags if pool else front.args_at if front else ""
    match inside:
        case ["needs", "first_at_least", role]:
            return f"frontend.start_with.{role}"
        case ["needs", "later_at_least", role]:
            return f"frontend.restart_with.{role}"
        case ["ports", "kv-events"] if pool:
            return pool.at.kv_events
        case ["ports", purpose] if purpose in pins:
            return join(at, pins[purpose])
        case _:
            return at
