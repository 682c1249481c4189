"""Reads plain values into dataclasses and records, without converting any; reports what is wrong.

It is for data from outside: a user's file, another agent's response. It supports the few types that
the models use (text, numbers, ``Literal``, ``StrEnum`` by value, ``X | None``, ``tuple[X, ...]``,
tables of X, nested classes, ``Any``) and rejects a model with any other. A whole number is
accepted for a float; apart from that, a value must have exactly the type of its field. Pure.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, Self, TypeVar

T = TypeVar("T")

Path = tuple[str | int, ...]
# A larger number fits no float, and Python refuses to print one of 4300 digits.
LARGEST = 2**1023
# Looking for a similar word takes a millisecond, and nobody reads that many hints.
MOST_HINTS = 50


if typing.TYPE_CHECKING:

    class _Namespace:
        """Without what typeshed says of it: that it has any attribute."""

        def __init__(self, **values: Any) -> None: ...
else:
    from types import SimpleNamespace as _Namespace


@typing.dataclass_transform(kw_only_default=True)
class Record(_Namespace):
    """A value made from keywords, one for each annotated field.

    It is for answers that hold hundreds of values; other values are frozen dataclasses, which take
    a quarter of the time of `pdsup status` to import and to make. Nobody changes one, although it
    could be done. JSON has the fields in the order in which they were given.
    """

    def replace(self, **changes: Any) -> Self:
        """The same value with other values in some fields."""
        return type(self)(**{**vars(self), **changes})


class Fault(NamedTuple):
    """What is wrong at a path. ``unknown``: the class has no such field."""

    path: Path
    message: str
    unknown: bool = False


def read(
    kind: type[T], value: Any, *, finite: bool = False, lenient: bool = False
) -> tuple[T | None, tuple[Fault, ...]]:
    """The instance of a class that ``value`` describes, or everything that is wrong with it.

    ``value`` consists of dicts with text keys, lists or tuples, and scalars. ``finite`` rejects
    infinity and NaN. ``lenient`` is for responses of other agents: it ignores unknown fields, which
    a later version may have added, and accepts lone surrogates, which a path may hold. A field of a
    record that may be None may be missing: an earlier version does not send it.
    """
    faults: list[Fault] = []
    hint: Any = kind
    instance: T = _reader(hint, finite, lenient)(value, (), faults)
    return (None if faults else instance), tuple(faults)


def dumps(value: Any, **options: Any) -> str:
    """A value as JSON that ``read`` reads back; ``options`` are those of ``json.dumps``.

    It must not contain itself: looking for that takes a sixth of the time.
    """
    return json.dumps(value, default=_fields, check_circular=False, **options)


def _fields(part: Any) -> dict[str, Any]:
    fields: dict[str, Any] | None = getattr(part, "__dict__", None)
    if fields is None:
        fields = {name: getattr(part, name) for name in part.__slots__}
    return fields


def has_fields(hint: Any) -> bool:
    """Whether a type is a dataclass or a record."""
    return isinstance(hint, type) and (
        issubclass(hint, Record) or hasattr(hint, "__dataclass_fields__")
    )


def fields(kind: Any) -> dict[str, Any]:
    """The types of the fields of a dataclass or a record, in order."""
    hints = typing.get_type_hints(kind)
    if issubclass(kind, Record):
        return hints
    import dataclasses  # late: `pdsup status` needs none

    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _required(kind: Any, types_of_fields: Mapping[str, Any]) -> set[str]:
    """The fields that must be given."""
    if issubclass(kind, Record):
        return {name for name, hint in types_of_fields.items() if not _is_optional(hint)}
    import dataclasses

    missing = dataclasses.MISSING
    return {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is missing and field.default_factory is missing
    }


def _is_optional(hint: Any) -> bool:
    """Whether it is ``X | None``."""
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return union and typing.get_args(hint)[1:] == (types.NoneType,)


def in_one_line(fault: Fault) -> str:
    """The fault in one short, printable line, whatever the other side sent."""
    line = ": ".join((*map(str, fault.path), fault.message))[:200]
    return line if line.isprintable() else ascii(line)


def unusable(scalar: object) -> str | None:
    """Why a text or a number is unusable whatever its type should be, or None."""
    if isinstance(scalar, str):
        try:
            scalar.encode()
        except UnicodeEncodeError:
            return "contains half a character (a lone surrogate)"
        return None
    return "is too large" if isinstance(scalar, int) and abs(scalar) > LARGEST else None


def show(value: Any) -> str:
    """A value for a message: as the user wrote it, short and printable."""
    match value:
        case dict():
            return "a table"
        case list() | tuple():
            return "a list"
        case None:
            return "nothing"
        case int() if abs(value) > LARGEST:
            return "a huge number"
        case _:
            text = json.dumps(value, ensure_ascii=False)
            text = text if text.isprintable() else json.dumps(value)
            return text if len(text) <= 60 else text[:57] + "..."


def suggestion(key: str, known: Iterable[str]) -> str:
    """The hint ``; did you mean X?`` if a known word is close to ``key``, else ""."""
    import difflib  # late: usually nothing is wrong

    close = difflib.get_close_matches(key, sorted(known), 1, 0.7)
    return f"; did you mean {close[0]}?" if close else ""


# How many names a message lists.
MOST_NAMED = 8


def names_instead(key: str, known: Iterable[str], listed: Iterable[str] | None = None) -> str:
    """The hint ``; did you mean X?`` as of ``suggestion``, else ``; there are A, B and 2 more``.

    ``listed``: the names to list, if not all that are known.
    """
    names = list(dict.fromkeys(known))
    if hint := suggestion(key, names):
        return hint
    shown = names if listed is None else list(dict.fromkeys(listed))
    more = f" and {len(shown) - MOST_NAMED} more" if len(shown) > MOST_NAMED else ""
    return f"; there are {', '.join(shown[:MOST_NAMED])}{more}" if shown else "; there is none"


# -- One reader for each type ---------------------------------------------------------------------

Reader = Callable[[Any, Path, list[Fault]], Any]


@cache
def _reader(hint: Any, finite: bool, lenient: bool) -> Reader:
    def inner(part: Any) -> Reader:
        return _reader(part, finite, lenient)

    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if has_fields(hint):
        return _table_of_fields(hint, inner, lenient)
    if origin is typing.Literal:
        return _one_of(arguments)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _member_of(hint)
    if origin is tuple and arguments[1:] == (...,):
        return _list_of(inner(arguments[0]))
    if origin in (dict, Mapping) and arguments[0] is str:
        return _table_of(inner(arguments[1]))
    if _is_optional(hint):
        return _optional(inner(arguments[0]))
    if hint is str and lenient:
        return _any_text
    return _number(finite) if hint is float else PLAIN[hint]


def _table_of_fields(kind: Any, inner: Callable[[Any], Reader], lenient: bool) -> Reader:
    hints, has_defaults = fields(kind), not issubclass(kind, Record)
    readers = {name: inner(hint) for name, hint in hints.items()}
    required = _required(kind, hints)

    def read_fields(value: Any, path: Path, faults: list[Fault]) -> Any:
        if not isinstance(value, dict):
            return _wrong(value, path, faults, "a table of settings")
        before, given = len(faults), {}
        for name, reader in readers.items():
            if name in value:
                given[name] = reader(value[name], (*path, name), faults)
            elif name in required:
                faults.append(Fault((*path, name), "is missing"))
            elif not has_defaults:
                given[name] = None
        if not lenient and not value.keys() <= readers.keys():
            unknown = [key for key in value if key not in readers]
            faults += (Fault((*path, k), "is not a known setting", unknown=True) for k in unknown)
        return kind(**given) if len(faults) == before else None

    return read_fields


def _list_of(reader: Reader) -> Reader:
    def read_list(value: Any, path: Path, faults: list[Fault]) -> Any:
        if not isinstance(value, list | tuple):
            return _wrong(value, path, faults, "a list")
        return tuple([reader(item, (*path, index), faults) for index, item in enumerate(value)])

    return read_list


def _table_of(reader: Reader) -> Reader:
    def read_table(value: Any, path: Path, faults: list[Fault]) -> Any:
        if not isinstance(value, dict):
            return _wrong(value, path, faults, "a table of settings")
        return {
            _text(key, (*path, key), faults): reader(item, (*path, key), faults)
            for key, item in value.items()
        }

    return read_table


def _optional(reader: Reader) -> Reader:
    def read_optional(value: Any, path: Path, faults: list[Fault]) -> Any:
        return None if value is None else reader(value, path, faults)

    return read_optional


def _one_of(choices: tuple[Any, ...]) -> Reader:
    wanted = ", ".join(map(repr, choices))
    wanted = f"one of {wanted}" if len(choices) > 1 else wanted
    texts = tuple(choice for choice in choices if isinstance(choice, str))

    def read_choice(value: Any, path: Path, faults: list[Fault]) -> Any:
        for choice in choices:
            if type(value) is type(choice) and value == choice:
                return choice
        hinted = isinstance(value, str) and len(faults) < MOST_HINTS
        return _wrong(value, path, faults, wanted, suggestion(value, texts) if hinted else "")

    return read_choice


def _member_of(kind: type[StrEnum]) -> Reader:
    members = {member.value: member for member in kind}
    refuse = _one_of(tuple(members))

    def read_member(value: Any, path: Path, faults: list[Fault]) -> Any:
        known = type(value) is str and value in members
        return members[value] if known else refuse(value, path, faults)

    return read_member


def _number(finite: bool) -> Reader:
    def read_number(value: Any, path: Path, faults: list[Fault]) -> Any:
        if type(value) not in (int, float):
            return _wrong(value, path, faults, "a number")
        if finite and isinstance(value, float) and not math.isfinite(value):
            return _wrong(value, path, faults, "a finite number")
        return float(_usable(value, path, faults) or 0)

    return read_number


def _whole(value: Any, path: Path, faults: list[Fault]) -> Any:
    if type(value) is not int:
        return _wrong(value, path, faults, "a whole number")
    return _usable(value, path, faults)


def _switch(value: Any, path: Path, faults: list[Fault]) -> Any:
    return value if type(value) is bool else _wrong(value, path, faults, "true or false")


def _text(value: Any, path: Path, faults: list[Fault]) -> Any:
    if type(value) is not str:
        return _wrong(value, path, faults, "text", "; put it in quotes")
    return _usable(value, path, faults)


def _any_text(value: Any, path: Path, faults: list[Fault]) -> Any:
    return value if type(value) is str else _wrong(value, path, faults, "text")


def _anything(value: Any, path: Path, faults: list[Fault]) -> Any:
    return value


def _usable(value: Any, path: Path, faults: list[Fault]) -> Any:
    if (reason := unusable(value)) is None:
        return value
    faults.append(Fault(path, reason))
    return None


def _wrong(value: Any, path: Path, faults: list[Fault], wanted: str, hint: str = "") -> None:
    faults.append(Fault(path, f"must be {wanted}, not {show(value)}{hint}"))


PLAIN: Mapping[Any, Reader] = {int: _whole, bool: _switch, str: _text, Any: _anything}
