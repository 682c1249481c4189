"""Checks types and unknown keys of recipes and plans: turns plain values into dataclasses.

It adds to ``typed.py`` what is specific to these files: settings that are accepted but ignored, and
hints where a misplaced key belongs. Later steps check how settings fit together. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from pdsup.errors import Problem
from pdsup.plan.document.syntax import join
from pdsup.plan.model import Plan
from pdsup.plan.recipe.schema1 import IGNORED, Recipe
from pdsup.plan.recipe.schema2 import IGNORED as IGNORED_2
from pdsup.plan.recipe.schema2 import RolesRecipe
from pdsup.plan.recipe_paths import Causes
from pdsup.typed import MOST_HINTS, Fault, Path, read, suggestion

T = TypeVar("T")

TABLES: Mapping[type, Mapping[str, frozenset[str]]] = {Recipe: IGNORED, RolesRecipe: IGNORED_2}


@dataclass(frozen=True, slots=True)
class Part:
    """A plan without its invalid units and hooks, and where the valid ones are in the file."""

    plan: Plan
    causes: Causes


def plan(values: Any) -> tuple[Plan | None, Part | None, tuple[Problem, ...]]:
    """The plan, or its valid part (if any) and every type error and unknown key."""
    whole, faults = read(Plan, values)
    problems = tuple(_problems(Plan, faults))
    return whole, _sound_part(values, faults) if faults else None, problems


def recipe(values: Mapping[str, Any]) -> tuple[Recipe | RolesRecipe, tuple[Problem, ...]]:
    """The recipe without its invalid settings, and their problems."""
    if values.get("schema") == 2:
        return _sound(RolesRecipe, {**values, "schema": 2}, RolesRecipe(schema=2))
    return _sound(Recipe, values, Recipe())


def ignored(values: Mapping[str, Any]) -> Mapping[str, frozenset[str]]:
    """The settings of such a recipe that are accepted but not used, by dotted table path."""
    return IGNORED_2 if values.get("schema") == 2 else IGNORED


def _sound(kind: type[T], values: Mapping[str, Any], nothing: T) -> tuple[T, tuple[Problem, ...]]:
    sound = _used(values, ignored(values))
    instance, faults = read(kind, sound)
    problems = tuple(_problems(kind, faults))
    # Dropping a wrong setting can't make another one wrong: every setting is optional.
    for fault in faults:
        _drop(sound, fault.path)
    if faults:
        instance, _ = read(kind, sound)
    return instance or nothing, problems


def _used(
    values: Mapping[str, Any], unused: Mapping[str, frozenset[str]], at: str = ""
) -> dict[str, Any]:
    """The values without settings that only srtctl uses, and without nulls."""
    kept = {}
    for key, value in values.items():
        path = join(at, key)
        if value is None or key in unused.get(at, ()):
            continue
        ours = path in unused or any(table.startswith(f"{path}.") for table in unused)
        kept[key] = _used(value, unused, path) if ours and isinstance(value, dict) else value
    return kept


def _sound_part(values: Any, faults: Iterable[Fault]) -> Part | None:
    for fault in faults:
        if fault.unknown:
            _drop(values, fault.path)
    wrong = {fault.path[:2] for fault in faults if not fault.unknown}
    if not isinstance(values, dict) or not isinstance(values.get("units"), tuple):
        return None
    kept = {key: _sound_places(values, key, wrong) for key in ("units", "hooks")}
    sound = {key: [values[key][index] for index in places] for key, places in kept.items()}
    part, _ = read(Plan, {**values, **sound})
    moved = {
        f"{key}.{new}": f"{key}.{old}"
        for key, places in kept.items()
        for new, old in enumerate(places)
    }
    return Part(part, Causes(moved, inside=True)) if part else None


def _sound_places(values: Mapping[str, Any], key: str, wrong: Container[Path]) -> tuple[int, ...]:
    entries = values.get(key)
    count = len(entries) if isinstance(entries, tuple) else 0
    return tuple(index for index in range(count) if (key, index) not in wrong)


def _drop(values: Any, path: Path) -> None:
    for key in path[:-1]:
        match values:
            case dict():
                values = values.get(key)
            case tuple() if isinstance(key, int):
                values = values[key]
            case _:
                return
    if path and isinstance(values, dict):
        values.pop(path[-1], None)


def _problems(root: type, faults: Iterable[Fault]) -> Iterator[Problem]:
    for number, fault in enumerate(faults):
        path = tuple(map(str, fault.path))
        hint = _hint(root, path) if fault.unknown and number < MOST_HINTS else ""
        yield Problem(".".join(path), fault.message + hint)


def _hint(root: type, path: tuple[str, ...]) -> str:
    """A hint for an unknown key: a similar known key, or the table where it belongs."""
    key, table = path[-1], ".".join(path[:-1])
    known = {field.name for field in dataclasses.fields(_kind_at(root, path[:-1]))}
    unused = TABLES.get(root, {})
    hint = suggestion(key, known | unused.get(table, frozenset()))
    if not hint and (home := _home(root, unused, key)) is not None:
        return f"; it belongs {f'under {home}' if home else 'at the top level'}"
    return hint


def _home(root: type, unused: Mapping[str, frozenset[str]], key: str) -> str | None:
    """The table of a recipe that has this key, or None."""
    for name, own in unused.items():
        kind = _kind_at(root, tuple(name.split(".")) if name else ())
        if key in {field.name for field in dataclasses.fields(kind)} | own:
            return name
    return None


def _kind_at(root: type, path: tuple[str, ...]) -> Any:
    """The dataclass at a path inside another one."""
    kind: Any = root
    for key in path:
        if not key.isdecimal():
            kind = get_type_hints(kind)[key]
            kind = next(
                (arg for arg in (kind, *get_args(kind)) if dataclasses.is_dataclass(arg)), kind
            )
    return kind
