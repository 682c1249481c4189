"""Compiles a recipe file: gives a checked plan, or raises with every problem at once."""

from __future__ import annotations

from collections.abc import Iterable

from pdsup.errors import Problem
from pdsup.plan.compile import addresses, check_relations
from pdsup.plan.compile.nodes import invented_nodes
from pdsup.plan.compile.plan import Compiled, compile_plan
from pdsup.plan.compile.plan_file import refuse
from pdsup.plan.document import tree
from pdsup.plan.document.source import Source
from pdsup.plan.engines.engine import EngineName
from pdsup.plan.model import Bind, Node, Plan
from pdsup.plan.recipe import doubts, job_script, schema
from pdsup.plan.recipe.doubts import Machine
from pdsup.plan.recipe.read import hopeless, normalise


def compile_recipe(
    file: Source,
    nodes: tuple[Node, ...] | None,
    bind: Bind,
    engine: EngineName | None,
    machine: Machine | None,
) -> tuple[Plan, tuple[Problem, ...]]:
    """The plan of a recipe, on invented nodes if there are none, and what is probably wrong.

    Raises InvalidDocument with every problem.
    """
    if file.broken:
        refuse(file, ())
    values = tree.plain(file.root)
    if (reason := hopeless(values)) is not None:
        refuse(file, (reason,))
    recipe, wrong = schema.recipe(values)
    deployment, problems = normalise(recipe, engine)
    problems += (*addresses.problems(recipe.network), *job_script.problems(values))
    problems = wrong + tuple(problem for problem in problems if not _follows(problem, wrong))
    plan = None
    if not any(_prevents_placement(problem) for problem in (*file.problems, *problems)):
        site = invented_nodes(deployment.nodes) if nodes is None else nodes
        # If listeners bind to one address, it is the one in ``nodes``: look up no other.
        if nodes is not None and bind == "any" and recipe.network and not problems:
            site = addresses.addressed(nodes, recipe.network)
        compiled, late = compile_plan(deployment, site, bind)
        if compiled is not None:
            plan, late = compiled.plan, _checked_plan(compiled)
        known = {problem.path for problem in problems}
        problems += tuple(problem for problem in late if problem.path not in known)
    known = {problem.path for problem in problems}
    doubted = doubts.of(values, deployment, machine) if machine else ()
    warnings = refuse(file, (*problems, *(one for one in doubted if one.path not in known)))
    assert plan is not None  # noqa: S101  # no problem, so there is one
    return plan, warnings


def _checked_plan(compiled: Compiled) -> tuple[Problem, ...]:
    """The problems of a compiled plan, at the settings of the recipe that cause them."""
    wrong = map(_not_of_recipe, check_relations.check(compiled.plan))
    found = compiled.causes.locate(wrong)
    # A wrong setting is wrong for all its workers; report it once.
    first = {problem.path: problem for problem in reversed(found)}
    return tuple(first.values())


def _not_of_recipe(problem: Problem) -> Problem:
    """A problem of the nodes, which are not in the recipe, as a problem of the whole recipe."""
    if problem.path.partition(".")[0] != "nodes":
        return problem
    return Problem("", f"the nodes: {problem.message}")


def _follows(problem: Problem, causes: Iterable[Problem]) -> bool:
    """Whether a problem may only be the consequence of a wrong setting that was dropped."""
    return any(
        cause.path == problem.path or cause.path.startswith(f"{problem.path}.") for cause in causes
    )


def _prevents_placement(problem: Problem) -> bool:
    """Whether a problem makes it pointless to place the workers."""
    return problem.path.split(".")[0] in ("", "resources", "roles")
