"""A recipe with a sweep as one recipe for each point: the product of all values it lists.

``{key}`` in a text stands for the point's value of ``key``; a text that is nothing else becomes
the value itself, a number for a number. The point's name is NAME_key1value1_key2value2. Pure.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pdsup.errors import Problem
from pdsup.plan.document.syntax import Item, join

KEY = "sweep"
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]")


def points(root: Item, most: int) -> tuple[tuple[Item, ...], tuple[Problem, ...]]:
    """The recipe at each point, in the order of the lists, the last one fastest; or problems.

    ``root`` has a table of settings with the key ``sweep``; ``most``: how many points may be.
    """
    table = dict(root.value) if isinstance(root.value, dict) else {}
    swept = table.pop(KEY)
    rest = replace(root, value=table)
    if swept.value is None:
        return (rest,), ()
    problems = tuple(_problems(swept, rest, most))
    if problems or not isinstance(swept.value, dict):
        return (), problems
    axes = {key: _axis(item) for key, item in swept.value.items()}
    found = re.compile("|".join(re.escape(f"{{{key}}}") for key in axes))
    return tuple(
        _at(rest, dict(zip(axes, values, strict=True)), found)
        for values in itertools.product(*axes.values())
    ), ()


def _axis(item: Item) -> tuple[Item, ...]:
    return item.value if isinstance(item.value, tuple) else (item,)


def _problems(swept: Item, rest: Item, most: int) -> Iterator[Problem]:
    if not isinstance(swept.value, dict) or not swept.value:
        message = "must be a table of lists, such as {max_tokens: [4096, 8192]}"
        yield Problem(KEY, message, swept.line, swept.column)
        return
    texts = " ".join(_texts(rest))
    for key, item in swept.value.items():
        place = (item.line, item.column)
        if not _axis(item):
            yield Problem(join(KEY, key), "is an empty list; give a value", *place)
        if any(isinstance(value.value, dict | tuple | None) for value in _axis(item)):
            yield Problem(join(KEY, key), "may hold only numbers, texts, true and false", *place)
        if f"{{{key}}}" not in texts:
            message = f"changes nothing: no setting of the recipe says {{{key}}}"
            yield Problem(join(KEY, key), message, *place)
    count = math.prod(len(_axis(item)) for item in swept.value.values())
    if count > most:
        message = f"has {count} points; at most {most} are possible"
        yield Problem(KEY, message, swept.line, swept.column)


def _texts(item: Item) -> Iterator[str]:
    match item.value:
        case dict(table):
            for entry in table.values():
                yield from _texts(entry)
        case tuple(entries):
            for entry in entries:
                yield from _texts(entry)
        case str(text):
            yield text


def _at(rest: Item, values: Mapping[str, Item], found: re.Pattern[str]) -> Item:
    point = _filled(rest, values, found)
    table = point.value
    if not isinstance(table, dict):
        return point
    name = table.get("name")
    if name is None or not isinstance(name.value, str):
        return point
    shown = "_".join(f"{key}{_text(value)}" for key, value in values.items())
    own = replace(name, value=f"{name.value}_{_NO_NAME.sub('-', shown)}")
    return replace(point, value={**table, "name": own})


def _filled(item: Item, values: Mapping[str, Item], found: re.Pattern[str]) -> Item:
    match item.value:
        case dict(table):
            filled = {key: _filled(entry, values, found) for key, entry in table.items()}
            return replace(item, value=filled)
        case tuple(entries):
            return replace(item, value=tuple(_filled(e, values, found) for e in entries))
        case str(text) if found.fullmatch(text):
            return values[text[1:-1]]
        case str(text):
            return replace(item, value=found.sub(lambda key: _text(values[key[0][1:-1]]), text))
        case _:
            return item


def _text(item: Item) -> str:
    return str(item.value).lower() if isinstance(item.value, bool) else str(item.value)
