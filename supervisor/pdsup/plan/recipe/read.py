"""Turns a recipe of any schema into a deployment, with every problem.

Each schema has a module of its own. Pure.
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
    """The problem that makes it pointless to check the rest of a recipe, or None."""
    if values is None:
        return Problem("", "is empty")
    if not isinstance(values, dict):
        return Problem("", f"must be a table of settings, not {show(values)}")
    for key in values:
        # The file's own have been expanded; these come from --set.
        if key in (variants.BASE, sweep.KEY) or key.startswith((variants.OVERRIDE, variants.ZIP)):
            return Problem(key, "variants and sweeps must be in the file; --set can't add one")
    return None


def normalise(
    recipe: Recipe | RolesRecipe, engine: EngineName | None
) -> tuple[Deployment, tuple[Problem, ...]]:
    """The deployment that a recipe asks for; meaningful only if there are no problems.

    ``engine`` overrides the recipe's engine.
    """
    problems: list[Problem] = []
    if isinstance(recipe, RolesRecipe):
        deployment = schema2.deployment(recipe, engine, problems)
    else:
        deployment = schema1.deployment(recipe, engine, problems)
    return deployment, tuple(problems)
