"""Checks types and unknown keys of recipes: turns plain values into dataclasses.

It adds to ``typed.py`` what is specific to recipes: settings that are accepted but ignored, and
that a wrong one is left out. Later steps check how settings fit together. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pdsup.errors import Problem
from pdsup.plan.document import faults
from pdsup.plan.document.syntax import join
from pdsup.plan.recipe.schema1 import IGNORED, Recipe
from pdsup.plan.recipe.schema2 import IGNORED as IGNORED_2
from pdsup.plan.recipe.schema2 import RolesRecipe
from pdsup.typed import read

T = TypeVar("T")


def recipe(values: Mapping[str, Any]) -> tuple[Recipe | RolesRecipe, tuple[Problem, ...]]:
    """The recipe without its invalid settings, and their problems."""
    if values.get("schema") == 2:
        return _sound(RolesRecipe, {**values, "schema": 2}, RolesRecipe(schema=2))
    return _sound(Recipe, values, Recipe())


def ignored(values: Mapping[str, Any]) -> faults.Unused:
    """The settings of such a recipe that are accepted but not used, by dotted table path."""
    return IGNORED_2 if values.get("schema") == 2 else IGNORED


def _sound(kind: type[T], values: Mapping[str, Any], nothing: T) -> tuple[T, tuple[Problem, ...]]:
    sound = _used(values, ignored(values))
    instance, wrong = read(kind, sound)
    problems = tuple(faults.problems(kind, wrong, ignored(values)))
    # Dropping a wrong setting can't make another one wrong: every setting is optional.
    for fault in wrong:
        faults.drop(sound, fault.path)
    if wrong:
        instance, _ = read(kind, sound)
    return instance or nothing, problems


def _used(values: Mapping[str, Any], unused: faults.Unused, at: str = "") -> dict[str, Any]:
    """The values without settings that only srtctl uses, and without nulls."""
    kept = {}
    for key, value in values.items():
        path = join(at, key)
        if value is None or key in unused.get(at, ()):
            continue
        ours = path in unused or any(table.startswith(f"{path}.") for table in unused)
        kept[key] = _used(value, unused, path) if ours and isinstance(value, dict) else value
    return kept
