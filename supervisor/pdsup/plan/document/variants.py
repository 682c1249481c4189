"""Expands one file to its recipes: a base with overrides, and the points of a sweep.

It turns trees into trees, and every value keeps its place in the file. It does not know what the
settings mean. Pure.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pdsup.errors import Problem
from pdsup.plan.document import sweep, tree
from pdsup.plan.document.syntax import Item, join

BASE = "base"
OVERRIDE = "override_"
ZIP = "zip_override_"
# A key beside the base that applies to all variants.
SHARED = "schema"
# More than anyone runs; ``pdsup check`` compiles each of them.
MOST_VARIANTS = 1000


@dataclass(frozen=True, slots=True)
class Variant:
    """One recipe of a file.

    ``names``: all names that select it, the clearest first; none for the only recipe of a file.
    ``problems``: why it could not be built; then ``root`` is meaningless.
    """

    names: tuple[str, ...]
    root: Item
    problems: tuple[Problem, ...] = ()


def expand(root: Item) -> tuple[Variant, ...]:
    """Every recipe of a document, the base first; a single recipe has no name."""
    table = root.value
    if not isinstance(table, dict) or not any(map(_makes_variants, table)):
        return tuple(_points(Variant((), root), MOST_VARIANTS))
    misplaced = tuple(_misplaced(table))
    if misplaced:
        return (Variant((), root, misplaced),)
    count = sum(key.startswith((OVERRIDE, ZIP)) for key in table)
    if count > MOST_VARIANTS:
        key = next(key for key in table if key.startswith((OVERRIDE, ZIP)))
        message = f"is the first of {count} variants; at most {MOST_VARIANTS} are allowed"
        return (Variant((), root, (_problem(table[key], key, message),)),)
    shared = {SHARED: table[SHARED]} if SHARED in table else {}
    base = table[BASE]
    if isinstance(base.value, dict):
        base = replace(base, value={**shared, **base.value})
    made = [Variant((BASE,), base)]
    for key, item in table.items():
        if key.startswith(OVERRIDE):
            made.append(_overridden(base, key, item))
        elif key.startswith(ZIP):
            made += _zipped(base, key, item)
    known: dict[int, int] = {}
    if (total := sum(tree.size(variant.root, known) for variant in made)) > sweep.MOST_VALUES:
        message = f"makes about {total:,} values; at most {sweep.MOST_VALUES:,} are allowed"
        return (Variant((), root, (_problem(base, BASE, f"with its variants {message}"),)),)
    most = max(1, MOST_VARIANTS // len(made))
    return tuple(point for variant in made for point in _points(variant, most))


def matching(variants: tuple[Variant, ...], choice: str | None) -> tuple[Variant, ...]:
    """The variants that match a name or a pattern with ``*`` and ``?``; None: all but the base.

    The base is included only if it is named, or if there is no other variant.
    """
    if choice is None:
        return tuple(v for v in variants if BASE not in v.names) or variants
    return tuple(v for v in variants if choice in v.names) or tuple(
        v for v in variants if any(fnmatch.fnmatchcase(name, choice) for name in v.names)
    )


def _makes_variants(key: str) -> bool:
    return key == BASE or key.startswith((OVERRIDE, ZIP))


def _misplaced(table: Mapping[str, Item]) -> Iterator[Problem]:
    for key, item in table.items():
        if BASE not in table and _makes_variants(key):
            message = f"changes the recipe under {BASE}, but there is no {BASE}"
        elif BASE in table and not _makes_variants(key) and key != SHARED:
            message = f"is beside {BASE}; move it into {BASE}, or into an {OVERRIDE}... table"
        else:
            continue
        yield Problem(key, message, item.line, item.column)


def _overridden(base: Item, key: str, over: Item) -> Variant:
    if not isinstance(over.value, dict | None):
        return Variant((key,), base, (_problem(over, key, "must be a table of settings"),))
    return _made(base, over, (key,), key.removeprefix(OVERRIDE))


def _zipped(base: Item, key: str, over: Item) -> Iterator[Variant]:
    if not isinstance(over.value, dict):
        yield Variant((key,), base, (_problem(over, key, "must be a table of settings"),))
        return
    lists = list(_lists(over, key))
    count = _common_length(lists)
    if problems := tuple(_unfit(lists, count)):
        yield Variant((key,), base, problems)
        return
    for index in range(count):
        suffix = f"{key.removeprefix(ZIP)}_{index}"
        yield _made(base, _pick(over, index), (f"{key}[{index}]", key), suffix)


def _made(base: Item, over: Item, names: tuple[str, ...], suffix: str) -> Variant:
    """The variant made of the base with ``over`` merged over it, with a name of its own."""
    merged = _merged(base, over)
    table, settings = merged.value, over.value
    named = isinstance(settings, dict) and "name" in settings
    name = table.get("name") if isinstance(table, dict) and not named else None
    if isinstance(table, dict) and name is not None and isinstance(name.value, str):
        own = replace(name, value=f"{name.value}_{suffix}")
        merged = replace(merged, value={**table, "name": own})
    return Variant((*names, *_name(merged)), merged)


def _merged(base: Item, over: Item) -> Item:
    """Merges tables key by key; null removes a setting, and any other value replaces it."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return base if over.value is None else _without_nothing(over)
    table = dict(base.value)
    for key, item in over.value.items():
        if item.value is None:
            table.pop(key, None)
        else:
            table[key] = _merged(table[key], item) if key in table else _without_nothing(item)
    return replace(base, value=table)


def _without_nothing(item: Item) -> Item:
    """The item without null settings: they remove a setting that the base does not even have."""
    if not isinstance(item.value, dict):
        return item
    kept = {k: _without_nothing(v) for k, v in item.value.items() if v.value is not None}
    return replace(item, value=kept)


def _lists(item: Item, path: str) -> Iterator[tuple[str, Item, int]]:
    """The path, item and length of every list to zip; lists inside them are values."""
    match item.value:
        case dict(table):
            for key, entry in table.items():
                yield from _lists(entry, join(path, key))
        case tuple(entries):
            yield path, item, len(entries)


def _common_length(lists: list[tuple[str, Item, int]]) -> int:
    """The number of variants: the most frequent length among the lists."""
    lengths = Counter(length for _, _, length in lists if length > 1)
    return lengths.most_common(1)[0][0] if lengths else 1


def _unfit(lists: list[tuple[str, Item, int]], count: int) -> Iterator[Problem]:
    model = next((path for path, _, length in lists if length == count), "")
    for path, item, length in lists:
        if length == 0:
            yield _problem(item, path, "is an empty list; give a value")
        elif length not in (1, count):
            message = f"has {length} values and {model} has {count}; give {count}, or 1 for all"
            yield _problem(item, path, message)
    if count > MOST_VARIANTS:
        path, item, _ = next(entry for entry in lists if entry[2] == count)
        yield _problem(item, path, f"makes {count} variants; at most {MOST_VARIANTS} are allowed")


def _pick(item: Item, index: int) -> Item:
    match item.value:
        case dict(table):
            return replace(item, value={key: _pick(entry, index) for key, entry in table.items()})
        case tuple(entries):
            return entries[index if len(entries) > 1 else 0]
        case _:
            return item


def _points(variant: Variant, most: int) -> Iterator[Variant]:
    """The points of a variant with a sweep, at most ``most``, else the variant itself."""
    table = variant.root.value
    if variant.problems or not isinstance(table, dict) or sweep.KEY not in table:
        yield variant
        return
    points, problems = sweep.points(variant.root, most)
    if problems:
        yield replace(variant, problems=problems)
    for point in points:
        yield Variant((*_name(point), *variant.names), point)


def _name(root: Item) -> tuple[str, ...]:
    name = root.value.get("name") if isinstance(root.value, dict) else None
    return (name.value,) if name and isinstance(name.value, str) else ()


def _problem(item: Item, path: str, message: str) -> Problem:
    return Problem(path, message, item.line, item.column)
