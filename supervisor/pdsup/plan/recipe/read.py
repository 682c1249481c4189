"""A recipe of any schema as a deployment, with every problem.

Each layout of recipes has a module of its own; another one needs one more. Pure.
"""

from __future__ import annotations

from typing import Any

from pdsup.errors import Problem
from pdsup.plan.document import sweep, variants
from pdsup.plan.engines.engine import EngineName
from pdsup.plan.recipe import schema1, schema2
from pdsup.plan.recipe.deployment import Deployment
from pdsup.plan.recipe.schema1 import Recipe
from pdsup.plan.recipe.schema2 import RolesRecipe
from pdsup.typed import show


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
    recipe: Recipe | RolesRecipe, engine: EngineName | None
) -> tuple[Deployment, tuple[Problem, ...]]:
    """The deployment a recipe asks for; meaningful only when there is no problem.

    ``engine`` goes before the recipe's own.
    """
    problems: list[Problem] = []
    if isinstance(recipe, RolesRecipe):
        deployment = schema2.deployment(recipe, engine, problems)
    else:
        deployment = schema1.deployment(recipe, engine, problems)
    return deployment, tuple(problems)
