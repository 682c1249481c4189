"""Types and unknown keys of recipes and plans: plain values in, dataclasses or problems out.

The only module that knows the validation library. What settings mean together is checked later.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from supervisor.errors import Problem
from supervisor.plan.model import Plan
from supervisor.plan.recipe import IGNORED, Recipe
from supervisor.plan.roles import IGNORED as IGNORED_2
from supervisor.plan.roles import RolesRecipe
from supervisor.plan.syntax import join

T = TypeVar("T")

TABLES: Mapping[type, Mapping[str, frozenset[str]]] = {Recipe: IGNORED, RolesRecipe: IGNORED_2}
UNKNOWN = "unexpected_keyword_argument"
WANTED = {
    "missing": "is missing",
    "int_type": "must be a whole number, not {shown}",
    "int_from_float": "must be a whole number, not {shown}",
    "int_parsing_size": "is too large",
    "float_type": "must be a number, not {shown}",
    "bool_type": "must be true or false, not {shown}",
    "string_type": "must be text, not {shown}; put it in quotes",
    "dict_type": "must be a table of settings, not {shown}",
    "dataclass_type": "must be a table of settings, not {shown}",
    "tuple_type": "must be a list, not {shown}",
    "literal_error": "must be {expected}, not {shown}",
}


@dataclass(frozen=True, slots=True)
class Partial:
    """A plan without its wrong units; ``units`` are the places of the others in the file."""

    plan: Plan
    units: tuple[int, ...]


def plan(values: Any) -> tuple[Plan | None, Partial | None, tuple[Problem, ...]]:
    """The plan; or what is sound of it, if anything, and every type error and unknown key."""
    found, errors = _validate(Plan, values)
    problems = tuple(_problem(Plan, error) for error in errors)
    return found, _sound_part(values, errors) if errors else None, problems


def recipe(values: Mapping[str, Any]) -> tuple[Recipe | RolesRecipe, tuple[Problem, ...]]:
    """The recipe without the settings that are wrong, and what is wrong with them."""
    if values.get("schema") == 2:
        return _sound(RolesRecipe, {**values, "schema": 2}, RolesRecipe(schema=2))
    return _sound(Recipe, values, Recipe())


def ignored(values: Mapping[str, Any]) -> Mapping[str, frozenset[str]]:
    """What of such a recipe is accepted and not used, by dotted table."""
    return IGNORED_2 if values.get("schema") == 2 else IGNORED


def _sound(kind: type[T], values: Mapping[str, Any], nothing: T) -> tuple[T, tuple[Problem, ...]]:
    sound = _used(values, ignored(values))
    found, errors = _validate(kind, sound)
    problems = tuple(_problem(kind, error) for error in errors)
    # Dropping a wrong setting can't make another wrong: all may be left out.
    for error in errors:
        _drop(sound, error["loc"])
    if errors:
        found, _ = _validate(kind, sound)
    return found or nothing, problems


def show(value: Any) -> str:
    """A value as a user wrote it, short."""
    match value:
        case dict():
            return "a table"
        case list() | tuple():
            return "a list"
        case None:
            return "nothing"
        case _:
            text = json.dumps(value, ensure_ascii=False)
            return text if len(text) <= 60 else text[:57] + "..."


def suggestion(key: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` when something known is close to ``key``, else nothing."""
    close = difflib.get_close_matches(key, sorted(known), 1, 0.7)
    return f"; did you mean {close[0]}?" if close else ""


def _validate(kind: type[T], values: Any) -> tuple[T | None, list[Any]]:
    adapter = _adapter(cast(Any, kind))
    try:
        # By way of JSON: only there does the strict mode take tables and lists for our classes.
        return adapter.validate_json(json.dumps(values), strict=True), []
    except ValidationError as error:
        return None, list(error.errors(include_url=False))


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _used(
    values: Mapping[str, Any], unused: Mapping[str, frozenset[str]], at: str = ""
) -> dict[str, Any]:
    """Without what srtctl alone uses, and without settings that are given as nothing."""
    kept = {}
    for key, value in values.items():
        path = join(at, key)
        if value is None or key in unused.get(at, ()):
            continue
        ours = path in unused or any(table.startswith(f"{path}.") for table in unused)
        kept[key] = _used(value, unused, path) if ours and isinstance(value, dict) else value
    return kept


def _sound_part(values: Any, errors: list[Any]) -> Partial | None:
    for error in errors:
        if error["type"] == UNKNOWN:
            _drop(values, error["loc"])
    wrong = {error["loc"][:2] for error in errors if error["type"] != UNKNOWN}
    units = values.get("units") if isinstance(values, dict) else None
    if not isinstance(units, tuple):
        return None
    kept = tuple(index for index in range(len(units)) if ("units", index) not in wrong)
    found, _ = _validate(Plan, {**values, "units": [units[index] for index in kept]})
    return Partial(found, kept) if found else None


def _drop(values: Any, path: tuple[str | int, ...]) -> None:
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


def _problem(root: type, error: Any) -> Problem:
    path = tuple(str(key) for key in error["loc"])
    if error["type"] == UNKNOWN:
        message = _unknown(root, path)
    elif error["type"] in WANTED:
        expected = str(error.get("ctx", {}).get("expected", "")).replace(" or ", ", ")
        message = WANTED[error["type"]].format(shown=show(error["input"]), expected=_any(expected))
        if error["type"] == "literal_error" and isinstance(error["input"], str):
            message += suggestion(error["input"], expected.replace("'", "").split(", "))
    else:
        message = str(error["msg"])
    return Problem(".".join(path), message)


def _any(expected: str) -> str:
    return f"one of {expected}" if ", " in expected else expected


def _unknown(root: type, path: tuple[str, ...]) -> str:
    key, table = path[-1], ".".join(path[:-1])
    known = {field.name for field in dataclasses.fields(_kind_at(root, path[:-1]))}
    unused = TABLES.get(root)
    if unused is not None:
        known |= unused.get(table, frozenset())
        hint = suggestion(key, known)
        if not hint and (home := _home(root, unused, key)) is not None:
            hint = f"; it belongs {f'under {home}' if home else 'at the top'}"
    else:
        hint = suggestion(key, known)
    return f"is not a known setting{hint}"


def _home(root: type, unused: Mapping[str, frozenset[str]], key: str) -> str | None:
    """The table of a recipe that has such a key."""
    for name, own in unused.items():
        kind = _kind_at(root, tuple(name.split(".")) if name else ())
        if key in {field.name for field in dataclasses.fields(kind)} | own:
            return name
    return None


def _kind_at(root: type, path: tuple[str, ...]) -> Any:
    """The dataclass that stands at a path of another one."""
    kind: Any = root
    for key in path:
        if not key.isdecimal():
            kind = get_type_hints(kind)[key]
            kind = next(
                (arg for arg in (kind, *get_args(kind)) if dataclasses.is_dataclass(arg)), kind
            )
    return kind
