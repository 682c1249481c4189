"""Expands a recipe with a sweep to one recipe per point: the product of all listed values.

``{key}`` in a text is replaced by the point's value of ``key``; a text that is exactly ``{key}``
becomes the value itself, so a number stays a number. The name of a point is
NAME_key1value1_key2value2. Pure.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pdsup.errors import Problem
from pdsup.plan.document.syntax import Item, join
from pdsup.plan.document.tree import CHARACTERS, distinct, size

KEY = "sweep"
# Of all points together, aliases counted as often as they repeat them: each point is compiled.
MOST_VALUES = 500_000
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]")


def points(root: Item, most: int) -> tuple[tuple[Item, ...], tuple[Problem, ...]]:
    """The recipe at each point, in the order of the lists, the last one fastest; or the problems.

    ``root`` is a table of settings with the key ``sweep``; ``most``: the largest number of points.
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
    keys = _pattern(swept.value)
    return tuple(
        _at(rest, dict(zip(axes, values, strict=True)), keys)
        for values in itertools.product(*axes.values())
    ), ()


def _axis(item: Item) -> tuple[Item, ...]:
    return item.value if isinstance(item.value, tuple) else (item,)


def _problems(swept: Item, rest: Item, most: int) -> Iterator[Problem]:
    if not isinstance(swept.value, dict) or not swept.value:
        message = "must be a table of lists, such as {max_tokens: [4096, 8192]}"
        yield Problem(KEY, message, swept.line, swept.column)
        return
    texts = [item.value for item in distinct(rest) if isinstance(item.value, str)]
    for key, item in swept.value.items():
        place = (item.line, item.column)
        if not _axis(item):
            yield Problem(join(KEY, key), "is an empty list; give a value", *place)
        if any(isinstance(value.value, dict | tuple | None) for value in _axis(item)):
            yield Problem(join(KEY, key), "may contain only numbers, texts, true and false", *place)
        if not any(f"{{{key}}}" in text for text in texts):
            message = f"changes nothing: no setting of the recipe contains {{{key}}}"
            yield Problem(join(KEY, key), message, *place)
    count = math.prod(len(_axis(item)) for item in swept.value.values())
    if count > most:
        message = f"has {count} points; at most {most} are allowed"
        yield Problem(KEY, message, swept.line, swept.column)
    elif (total := count * _filled_size(rest, swept.value)) > MOST_VALUES:
        message = f"makes about {total:,} values; at most {MOST_VALUES:,} are allowed"
        yield Problem(KEY, message, swept.line, swept.column)


def _filled_size(rest: Item, axes: Mapping[str, Item]) -> int:
    """The size of the largest point: every text with the longest values in it."""
    values = (value for item in axes.values() for value in _axis(item))
    longest = max((len(_text(value)) for value in values), default=0)
    keys = _pattern(axes)
    known = {
        id(item): 1 + (len(item.value) + longest * len(keys.findall(item.value))) // CHARACTERS
        for item in distinct(rest)
        if isinstance(item.value, str)
    }
    return size(rest, known)


def _pattern(axes: Mapping[str, Item]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(f"{{{key}}}") for key in axes))


def _at(rest: Item, values: Mapping[str, Item], keys: re.Pattern[str]) -> Item:
    point = _filled(rest, values, keys)
    table = point.value
    if not isinstance(table, dict):
        return point
    name = table.get("name")
    if name is None or not isinstance(name.value, str):
        return point
    shown = "_".join(f"{key}{_text(value)}" for key, value in values.items())
    own = replace(name, value=f"{name.value}_{_NO_NAME.sub('-', shown)}")
    return replace(point, value={**table, "name": own})


def _filled(item: Item, values: Mapping[str, Item], keys: re.Pattern[str]) -> Item:
    match item.value:
        case dict(table):
            filled = {key: _filled(entry, values, keys) for key, entry in table.items()}
            return replace(item, value=filled)
        case tuple(entries):
            return replace(item, value=tuple(_filled(e, values, keys) for e in entries))
        case str(text) if keys.fullmatch(text):
            return values[text[1:-1]]
        case str(text):
            return replace(item, value=keys.sub(lambda key: _text(values[key[0][1:-1]]), text))
        case _:
            return item


def _text(item: Item) -> str:
    return str(item.value).lower() if isinstance(item.value, bool) else str(item.value)
