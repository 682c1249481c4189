"""What the settings of a recipe mean together: recipe in, deployment and problems out.

Each layout of recipes has a module of its own; another one needs one more.
"""

from __future__ import annotations

from typing import Any

from supervisor.errors import Problem
from supervisor.plan import layout1, layout2, sweep, variants
from supervisor.plan.deployment import Deployment, Engine
from supervisor.plan.recipe import Recipe
from supervisor.plan.roles import RolesRecipe
from supervisor.plan.typed import show


def hopeless(values: Any) -> Problem | None:
    """Why nothing more can be said about a recipe, if so."""
    if values is None:
        return Problem("", "is empty")
    if not isinstance(values, dict):
        return Problem("", f"must be a table of settings, not {show(values)}")
    for key in values:
        # Those of the file are gone by now.
        if key in (variants.BASE, sweep.KEY) or key.startswith((variants.OVERRIDE, variants.ZIP)):
            return Problem(key, "variants and sweeps stand in the file; one can't be made here")
    return None


def normalise(
    recipe: Recipe | RolesRecipe, engine: Engine | None
) -> tuple[Deployment, tuple[Problem, ...]]:
    """The deployment a recipe asks for; meaningful only when there is no problem.

    ``engine`` goes before the recipe's own.
    """
    problems: list[Problem] = []
    if isinstance(recipe, RolesRecipe):
        deployment = layout2.deployment(recipe, engine, problems)
    else:
        deployment = layout1.deployment(recipe, engine, problems)
    return deployment, tuple(problems)
