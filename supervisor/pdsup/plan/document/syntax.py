"""Parses YAML into values that know their line and column, so that every problem has a place.

It reads the parser's events and builds the values itself, for three reasons. PyYAML's own values
have no places. Its C composer recurses without limit, so a file of nothing but brackets ends the
process with a SIGSEGV. And aliases of aliases grow exponentially ("billion laughs") unless they
are counted.

No text may crash the process, exhaust it or raise: depth and number of values are limited, and an
error that ends parsing becomes one problem. Other mistakes (a duplicate key, a tag, a wrong number)
become problems, and parsing goes on, so that a user sees all of them at once. An alias shares its
anchor's values and keeps their places. It can only name an anchor that is complete, so no value
contains itself. Keys and values resolve as in PyYAML's safe loader (YAML 1.1), except that a date
is text. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import yaml

from pdsup.errors import Problem
from pdsup.typed import unusable

T = TypeVar("T")

# No recipe or plan nests deeper than ten levels; Python's recursion limit is 1000.
MAX_DEPTH = 64
TOO_DEEP = f"nests deeper than {MAX_DEPTH} levels"
# A plan of 1000 nodes has about 100,000 values. Far more can only come from aliases of aliases.
MAX_VALUES = 2_000_000

# To YAML 1.1 a text such as 1:59:59 is a number to the base of 60; reading a long one takes
# quadratic time. No number that is of use has so many digits.
MOST_DIGITS = 400

Scalar = str | int | float | bool | None
# A PyYAML that was built without libyaml has no C loader.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Item:
    """A value and its place: that of its key, if it has one. Lines and columns count from 1.

    ``setting`` is the override that the value comes from, if any.
    """

    value: Scalar | dict[str, Item] | tuple[Item, ...]
    line: int = 1
    column: int = 1
    setting: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """The values that could be read from a text, and its problems."""

    root: Item
    problems: tuple[Problem, ...]


def parse(text: str) -> Document:
    """The one document in ``text``; never raises for any text."""
    reader = _Reader(text)
    try:
        text.encode()  # the parser takes no half characters, as of bytes that are not UTF-8
        root = reader.document()
    except _Stop as stop:
        return Document(Item(None), (stop.problem,))
    except yaml.MarkedYAMLError as error:
        return Document(Item(None), (_syntax_problem(error, text),))
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        return Document(Item(None), (_character_problem(text),))
    return Document(root, tuple(reader.problems))


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    cause = error.problem or "unexpected content"
    if "nesting depth" in cause:  # libyaml's own limit, reached while the parser looks ahead
        return Problem("", TOO_DEEP, line, column)
    tab = "".join(text.splitlines()[line - 1 : line])[column - 1 : column] == "\t"
    hint = "; indent with spaces, not tabs" if tab else ""
    context = f" ({error.context})" if error.context else ""
    return Problem("", f"not YAML: {cause}{context}{hint}", line, column)


def _character_problem(text: str) -> Problem:
    bad = next((i for i, char in enumerate(text) if not _allowed(char)), 0)
    line, column = text.count("\n", 0, bad) + 1, bad - text.rfind("\n", 0, bad)
    return Problem(
        "", f"not YAML: the character {text[bad : bad + 1]!r} is not allowed", line, column
    )


def _allowed(char: str) -> bool:
    return (
        char in "\t\n\r\x85"
        or " " <= char <= "~"
        or (char >= "\xa0" and char not in "\ufffe\uffff" and not "\ud800" <= char <= "\udfff")
    )


class _Stop(Exception):
    """Ends parsing with one problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Anchor(NamedTuple):
    """What an anchor names: an item, how many values it holds, and how many levels below it."""

    item: Item
    values: int
    height: int


class _Reader:
    """Builds values in one pass over the parser's events."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._anchors: dict[str, _Anchor] = {}
        self._deepest = 0  # the depth that the item that is being read has reached so far
        self._values = 0
        self._tags: dict[str, str] = {}
        self.problems: list[Problem] = []

    def document(self) -> Item:
        """The root value; raises _Stop or an error of the parser."""
        self._loader = Loader(self._text)
        self._next()  # the start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            return Item(None)
        root = self._item(self._next(), "", 0)
        self._next()  # the end of the document
        end = self._next()
        if not isinstance(end, yaml.StreamEndEvent):
            raise _Stop(_problem(end, "", "a second document begins here; only one is allowed"))
        return root

    def _next(self) -> Any:
        return self._loader.get_event()

    def _item(self, event: Any, path: str, depth: int) -> Item:
        if depth > MAX_DEPTH:
            raise _Stop(_problem(event, path, TOO_DEEP))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, depth)
        before, outside = self._values, self._deepest
        self._deepest = depth
        self._count(event, 1)
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        item = Item(self._value(event, path, depth), line, column)
        if event.anchor:
            # Registered late: an alias inside its own anchor finds nothing, so there are no cycles.
            self._anchors[event.anchor] = _Anchor(
                item, self._values - before, self._deepest - depth
            )
        self._deepest = max(self._deepest, outside)
        return item

    def _count(self, event: Any, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _Stop(_problem(event, "", f"has more than {MAX_VALUES:,} values"))

    def _alias(self, event: Any, path: str, depth: int) -> Item:
        if event.anchor not in self._anchors:
            raise _Stop(_problem(event, path, f"*{event.anchor} names no complete &{event.anchor}"))
        named = self._anchors[event.anchor]
        self._count(event, named.values)
        # Each alias may be short, and aliases of aliases as deep as there are lines.
        if depth + named.height > MAX_DEPTH:
            raise _Stop(_problem(event, path, TOO_DEEP))
        self._deepest = max(self._deepest, depth + named.height)
        return named.item

    def _value(self, event: Any, path: str, depth: int) -> Any:
        match event:
            case yaml.ScalarEvent():
                return self._scalar(event, path)
            case yaml.SequenceStartEvent():
                self._refuse_tag(event, path, "tag:yaml.org,2002:seq")
                return self._sequence(path, depth)
            case _:
                self._refuse_tag(event, path, "tag:yaml.org,2002:map")
                return self._mapping(path, depth)

    def _refuse_tag(self, event: Any, path: str, own: str) -> None:
        if event.tag not in (None, "!", own):
            self.problems.append(_problem(event, path, f"the tag {event.tag} is not supported"))

    def _sequence(self, path: str, depth: int) -> tuple[Item, ...]:
        items: list[Item] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._item(event, join(path, str(len(items))), depth + 1))
        return tuple(items)

    def _mapping(self, path: str, depth: int) -> dict[str, Item]:
        own: dict[str, Item] = {}
        merged: dict[str, Item] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, path, depth)
            inner = path if key is None or key is MERGE else join(path, str(key))
            item = self._item(self._next(), inner, depth + 1)
            if key is MERGE:
                self._merge(merged, item, event, path)
            elif isinstance(key, str) and key in own:
                first = own[key].line
                message = f"is a duplicate key; it is first in line {first}"
                self.problems.append(_problem(event, inner, message))
            elif isinstance(key, str):
                mark = event.start_mark
                own[key] = Item(item.value, mark.line + 1, mark.column + 1)
        return {**merged, **own}

    def _key(self, event: Any, path: str, depth: int) -> str | object | None:
        """The key, MERGE for ``<<``, or None for an unusable key, which becomes a problem."""
        if not isinstance(event, yaml.ScalarEvent):
            self._item(event, path, depth + 1)
            self.problems.append(_problem(event, path, "a key must be text"))
            return None
        tag = self._tag(event)
        if tag == "tag:yaml.org,2002:merge":
            return MERGE
        if tag in TEXT_TAGS:
            return self._usable(str(event.value), event, path)
        shown = f"the key {event.value!r} is not text to YAML; put it in quotes"
        self.problems.append(_problem(event, path, shown))
        return None

    def _merge(self, into: dict[str, Item], item: Item, event: Any, path: str) -> None:
        tables = item.value if isinstance(item.value, tuple) else (item,)
        for table in tables:
            if isinstance(table.value, dict):
                for key, entry in table.value.items():
                    into.setdefault(key, entry)
            else:
                self.problems.append(_problem(event, path, "<< needs a table or a list of tables"))

    def _tag(self, event: Any) -> str:
        if event.tag not in (None, "!"):
            return str(event.tag)
        if not event.implicit[0]:  # in quotes
            return TEXT_TAG
        if event.value not in self._tags:
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            self._tags[event.value] = str(tag)
        return self._tags[event.value]

    def _scalar(self, event: Any, path: str) -> Scalar:
        tag = self._tag(event)
        if tag in TEXT_TAGS:
            return self._usable(str(event.value), event, path)
        if tag not in SCALARS:
            self.problems.append(_problem(event, path, f"the tag {tag} is not supported"))
            return None
        if tag not in EMPTY_TAGS and len(event.value) > MOST_DIGITS:
            self.problems.append(_problem(event, path, "is too long for a number"))
            return None
        try:
            value = SCALARS[tag](self._loader, yaml.ScalarNode(tag, event.value))
            return self._usable(value, event, path)
        except (ValueError, LookupError):
            kind = tag.rpartition(":")[2]
            message = f"{event.value[:40]!r} is not a valid {kind}"
            self.problems.append(_problem(event, path, message))
            return None

    def _usable(self, value: T, event: Any, path: str) -> T | None:
        if (reason := unusable(value)) is None:
            return value
        self.problems.append(_problem(event, path, reason))
        return None


def join(path: str, key: str) -> str:
    """The dotted path of ``key`` inside ``path``."""
    return f"{path}.{key}" if path else key


def _problem(event: Any, path: str, message: str) -> Problem:
    mark = event.start_mark
    return Problem(path, message, mark.line + 1, mark.column + 1)


MERGE = object()
# A date is text: no setting is a date, and a version such as 2025-01-01 is a name.
TEXT_TAG = "tag:yaml.org,2002:str"
TEXT_TAGS = frozenset({TEXT_TAG, "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"})
EMPTY_TAGS = frozenset({"tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"})
_SAFE = yaml.constructor.SafeConstructor
SCALARS: Mapping[str, Callable[[Any, yaml.ScalarNode], Scalar]] = {
    "tag:yaml.org,2002:null": _SAFE.construct_yaml_null,
    "tag:yaml.org,2002:bool": _SAFE.construct_yaml_bool,
    "tag:yaml.org,2002:int": _SAFE.construct_yaml_int,
    "tag:yaml.org,2002:float": _SAFE.construct_yaml_float,
}
