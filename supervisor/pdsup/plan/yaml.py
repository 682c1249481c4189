"""Writes a plan as YAML: the same plan gives the same bytes on any machine.

It does not use PyYAML's emitter: the digest must not depend on the installed libyaml, and a plan of
1000 nodes would take 0.7 s. The subset is small: words and quoted strings, block tables, flow lists
and flow tables that fit on a line. Pure.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from pdsup.plan.model import Log, Needs, Plan, Probes, Progress, ReadableBy

WIDTH = 100
# These values say nothing, so they are left out. Everything else is written even if it is the
# default: a plan must mean the same to the next version.
_SILENT: tuple[Any, ...] = (None, (), {}, Needs(), Probes(), Progress(), Log(), ReadableBy())
_WORD = re.compile(r"-{0,2}[A-Za-z_/][A-Za-z0-9_./+-]*")
_RESERVED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
# Characters that JSON leaves as they are but YAML rejects, or folds as a line break.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def write(plan: Plan) -> bytes:
    """The content of the plan file."""
    return ("\n".join(_table(values(plan), "")) + "\n").encode()


def digest(text: bytes) -> str:
    """The digest of a plan: the SHA-256 of its file, in hex."""
    import hashlib  # late: importing it takes longer than checking a recipe

    return hashlib.sha256(text).hexdigest()


def values(plan: Plan) -> dict[str, Any]:
    """The plan as tables, lists and scalars, as in the file and in ``--json``."""
    table: dict[str, Any] = _values(plan)
    return table


def _values(item: Any) -> Any:
    if isinstance(item, tuple):
        return [_values(entry) for entry in item]
    if isinstance(item, dict):
        return {name: _values(value) for name, value in item.items()}
    if not dataclasses.is_dataclass(item):
        return item
    kind: Any = type(item)
    return {
        name: _values(value)
        for name, required in _fields(kind)
        if (value := getattr(item, name)) not in _SILENT or required
    }


@cache
def _fields(kind: Any) -> tuple[tuple[str, bool], ...]:
    missing = dataclasses.MISSING
    return tuple(
        (field.name, field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
    )


def _table(table: dict[str, Any], indent: str) -> Iterator[str]:
    for key, value in table.items():
        yield from _entry(f"{indent}{_scalar(key)}:", value, indent + "  ")


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    """The lines of ``head``, a key with its colon, and its value: one line if it fits."""
    text = _inline(value, WIDTH - len(head) - 1)
    if text is not None or not isinstance(value, dict | list):
        yield f"{head} {_scalar(value) if text is None else text}"
    elif isinstance(value, dict):
        yield head
        yield from _table(value, indent)
    elif any(isinstance(entry, dict | list) for entry in value):
        yield head
        for entry in value:
            yield from _dashed(entry, indent)
    else:
        yield f"{head} ["
        yield from _wrapped(value, indent)
        yield f"{indent[:-2]}]"


def _dashed(entry: dict[str, Any], indent: str) -> Iterator[str]:
    dash = f"{indent[:-2]}- "
    text = _inline(entry, WIDTH - len(dash))
    if text is not None:
        yield dash + text
        return
    for number, line in enumerate(_table(entry, indent)):
        yield line if number else dash + line.removeprefix(indent)


def _wrapped(entries: list[Any], indent: str) -> Iterator[str]:
    line = ""
    for text in _groups(entries):
        if line and len(indent) + len(line) + len(text) + 1 > WIDTH:
            yield indent + line
            line = ""
        line = f"{line} {text}" if line else text
    yield indent + line


def _groups(entries: list[Any]) -> Iterator[str]:
    """The entries of a list, with each flag joined to its first value."""
    waiting: str | None = None
    for text in (f"{_scalar(entry)}," for entry in entries):
        if waiting is None:
            waiting = text
        elif waiting.startswith("--") and not text.startswith("--"):
            yield f"{waiting} {text}"
            waiting = None
        else:
            yield waiting
            waiting = text
    if waiting is not None:
        yield waiting


def _inline(value: Any, room: int) -> str | None:
    """``value`` on one line, or None if that takes more than ``room`` characters."""
    match value:
        case dict():
            form, entries = "{{{}}}", ((f"{_scalar(key)}: ", entry) for key, entry in value.items())
        case list():
            form, entries = "[{}]", (("", entry) for entry in value)
        case _:
            text = _scalar(value)
            return text if len(text) <= room else None
    parts: list[str] = []
    for head, entry in entries:
        inner = _inline(entry, room - len(head) - 2)
        if inner is None:
            return None
        parts.append(head + inner)
        room -= len(parts[-1]) + 2
    return form.format(", ".join(parts))


def _scalar(value: Any) -> str:
    match value:
        case str():
            return _text(value)
        case float():
            text = repr(value)
            # YAML 1.1 reads 1e-05 as text: a float needs a decimal point.
            return text if "e" not in text or "." in text else text.replace("e", ".0e")
        case _:
            return str(value)


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    if _WORD.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
