"""Trees of values with places: finds the place of a problem, and changes settings.

It does not know YAML (``plan/document/syntax.py``), recipes or plans. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pdsup.errors import Problem
from pdsup.plan.document.syntax import MAX_DEPTH, Document, Item, parse

# A text of so many characters takes as much memory as one more value.
CHARACTERS = 64


def plain(item: Item) -> Any:
    """The values without their places: dicts, tuples and scalars."""
    match item.value:
        case dict(table):
            return {key: plain(entry) for key, entry in table.items()}
        case tuple(entries):
            return tuple(plain(entry) for entry in entries)
        case scalar:
            return scalar


def distinct(item: Item, seen: dict[int, int] | None = None) -> Iterator[Item]:
    """Each item once, however often aliases repeat it."""
    seen = {} if seen is None else seen
    if id(item) in seen:
        return
    seen[id(item)] = 1
    yield item
    match item.value:
        case dict(table):
            for entry in table.values():
                yield from distinct(entry, seen)
        case tuple(entries):
            for entry in entries:
                yield from distinct(entry, seen)


def size(item: Item, known: dict[int, int]) -> int:
    """The number of values, aliases counted as often as they repeat them; long texts count more.

    ``known`` holds the sizes found so far, by the id of items that must stay alive.
    """
    if id(item) not in known:
        match item.value:
            case dict(table):
                known[id(item)] = 1 + sum(size(entry, known) for entry in table.values())
            case tuple(entries):
                known[id(item)] = 1 + sum(size(entry, known) for entry in entries)
            case str(text):
                known[id(item)] = 1 + len(text) // CHARACTERS
            case _:
                known[id(item)] = 1
    return known[id(item)]


def locate(root: Item, problem: Problem) -> Problem:
    """The problem with the place of its path, or of the nearest existing table above it."""
    item = _nearest(root, problem.path)
    setting = problem.setting or item.setting
    return problem._replace(line=item.line, column=item.column, setting=setting)


def override(root: Item, setting: str) -> tuple[Item, tuple[Problem, ...]]:
    """The document after ``a.b=value``, where the value is YAML. Missing tables are created."""
    path, equals, text = setting.partition("=")
    parts = path.split(".")
    if not equals or not all(parts):
        return root, (Problem("", "must be a.b=value", setting=setting),)
    value = parse(text) if text.strip() else Document(Item(None), ())
    if value.problems:
        return root, (Problem(path, value.problems[0].message, setting=setting),)
    if _depth(value.root) + len(parts) > MAX_DEPTH:
        return root, (Problem(path, "nests too deep", setting=setting),)
    try:
        return _put(root, parts, _marked(value.root, setting, _nearest(root, path))), ()
    except KeyError as error:
        key = error.args[0]
        return root, (Problem(key, "is not a table of settings", setting=setting),)


def _depth(item: Item) -> int:
    match item.value:
        case dict(table):
            return 1 + max(map(_depth, table.values()), default=0)
        case tuple(entries):
            return 1 + max(map(_depth, entries), default=0)
        case _:
            return 1


def _marked(item: Item, setting: str, place: Item) -> Item:
    """``item`` with the place of ``place``: values from the command line have no line."""
    match item.value:
        case dict(table):
            value: Any = {key: _marked(entry, setting, place) for key, entry in table.items()}
        case tuple(entries):
            value = tuple(_marked(entry, setting, place) for entry in entries)
        case scalar:
            value = scalar
    return Item(value, place.line, place.column, setting)


def _put(root: Item, parts: list[str], new: Item) -> Item:
    tables = [root]
    for depth, key in enumerate(parts[:-1], start=1):
        table = _table(tables[-1], parts[: depth - 1])
        tables.append(table.get(key, Item(None, new.line, new.column, new.setting)))
    for depth in range(len(parts) - 1, -1, -1):
        table = _table(tables[depth], parts[:depth])
        new = replace(tables[depth], value={**table, parts[depth]: new})
    return new


def _table(item: Item, path: list[str]) -> dict[str, Item]:
    if item.value is None:
        return {}
    if not isinstance(item.value, dict):
        raise KeyError(".".join(path))
    return item.value


def _nearest(root: Item, path: str) -> Item:
    item, parts = root, path.split(".") if path else []
    while parts:
        # A key may contain dots itself, so the longest key that exists wins.
        for length in range(len(parts), 0, -1):
            inner = _child(item, ".".join(parts[:length]))
            if inner is not None:
                item, parts = inner, parts[length:]
                break
        else:
            break
    return item


def _child(item: Item, key: str) -> Item | None:
    match item.value:
        case dict(table):
            return table.get(key)
        case tuple(entries) if key.isdecimal() and int(key) < len(entries):
            return entries[int(key)]
        case _:
            return None
