"""What is wrong with the values of a file, with hints where a misplaced key belongs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pdsup import typed
from pdsup.errors import Problem
from pdsup.typed import MOST_HINTS, Fault, Path, suggestion

# By dotted table path, the settings that a file may have and that are not used.
Unused = Mapping[str, frozenset[str]]


def problems(
    root: type, faults: Iterable[Fault], unused: Unused | None = None
) -> Iterator[Problem]:
    """The faults of a value of the class ``root`` as problems of its file."""
    for number, fault in enumerate(faults):
        path = tuple(map(str, fault.path))
        hint = _hint(root, path, unused or {}) if fault.unknown and number < MOST_HINTS else ""
        yield Problem(".".join(path), fault.message + hint)


def _hint(root: type, path: tuple[str, ...], unused: Unused) -> str:
    """A hint for an unknown key: a similar known key, or the table where it belongs."""
    key, table = path[-1], ".".join(path[:-1])
    known = set(typed.fields(_kind_at(root, path[:-1])))
    hint = suggestion(key, known | unused.get(table, frozenset()))
    if not hint and (home := _home(root, unused, key)) is not None:
        return f"; it belongs {f'under {home}' if home else 'at the top level'}"
    return hint


def _home(root: type, unused: Unused, key: str) -> str | None:
    """The table of a recipe that has this key, or None."""
    for name, own in unused.items():
        kind = _kind_at(root, tuple(name.split(".")) if name else ())
        if key in typed.fields(kind).keys() | own:
            return name
    return None


def _kind_at(root: type, path: tuple[str, ...]) -> Any:
    """The dataclass at a path inside another one."""
    kind: Any = root
    for key in path:
        if not key.isdecimal():
            kind = typed.fields(kind)[key]
            kind = next((arg for arg in (kind, *get_args(kind)) if typed.has_fields(arg)), kind)
    return kind


def drop(values: Any, path: Path) -> None:
    """Removes the value at a path, if there is one."""
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
