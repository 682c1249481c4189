"""JSON Schemas of what the API answers, made of the classes that the answers are made of. Pure."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from pdsup.answers.commands import LogFile, PageLink, UnitBefore
from pdsup.answers.explanation import Explanation, GateCondition
from pdsup.answers.reload import Reloading, Replacing
from pdsup.answers.status import AgentStatus, GpuUse, NodeStatus, Status, UnitStatus
from pdsup.cluster.report import NEW, Report, UnitReport
from pdsup.units.public_state import PublicState

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
NOTHING: Schema = {"type": "null"}
_SIMPLE = {str: TEXT, int: INTEGER, float: NUMBER, bool: TRUTH, types.NoneType: NOTHING}
_SECONDS = "in seconds since 1970"


def ref(name: str) -> Schema:
    """The place of a named schema in the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def table(about: str = "", /, **fields: Schema) -> Schema:
    """An object that has all of these fields."""
    told = {"description": about} if about else {}
    return {"type": "object", **told, "required": list(fields), "properties": fields}


def rows(of: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": of}


def by_name(of: Schema) -> Schema:
    """An object whose keys are names."""
    return {"type": "object", "additionalProperties": of}


def maybe(of: Schema) -> Schema:
    """What may also be null."""
    return {"anyOf": [of, NOTHING]}


# Answers; what they consist of is found by itself.
_ROOTS = (Report, Status, Explanation, Reloading, Replacing, UnitBefore, PageLink, LogFile)
# What an answer's class is called in the document, where that is not its own name.
_NAMES = {
    UnitStatus: "Unit",
    AgentStatus: "Agent",
    NodeStatus: "Node",
    GateCondition: "Condition",
    GpuUse: "Use",
}


def all_schemas() -> dict[str, Schema]:
    """Every named one."""
    kinds = [kind for root in (Report, Status, Explanation, Reloading) for kind in _classes(root)]
    return {
        _name(kind): _class(kind) for kind in (*kinds, Replacing, UnitBefore, PageLink, LogFile)
    } | _journal()


def schema(kind: Any) -> Schema:
    """The place of the schema of one of these classes."""
    return ref(_name(kind))


def _name(kind: Any) -> str:
    return _NAMES.get(kind, str(kind.__name__))


def _journal() -> dict[str, Schema]:
    """Lines of the journal are given as they are; a later version may write more into them."""
    event = {"type": "object", "required": ["type"], "properties": {"type": TEXT}}
    state = _value(PublicState)
    line: Schema = {
        "type": "object",
        "description": "A line of the journal. `from` and `to` are those of a change of state.",
        "required": ["at", "node", "event"],
        "properties": {
            "at": {**NUMBER, "description": _SECONDS},
            "monotonic": NUMBER,
            "node": TEXT,
            "unit": TEXT,
            "run": maybe(INTEGER),
            "event": event,
            "from": state,
            "to": state,
            "reason": TEXT,
            "state": {"type": "object"},
            "context": {"type": "object"},
        },
    }
    return {"Event": line, "Events": table(events=rows(ref("Event")))}


# -- classes --------------------------------------------------------------------------------------


def _classes(root: Any) -> list[Any]:
    """A dataclass and those of its fields, and of theirs."""
    found = [root]
    for kind in found:
        for hint in typing.get_type_hints(kind).values():
            found += [one for one in _inside(hint) if one not in found]
    return found


def _inside(hint: Any) -> list[Any]:
    if dataclasses.is_dataclass(hint):
        return [hint]
    return [kind for inner in typing.get_args(hint) for kind in _inside(inner)]


def _class(kind: Any) -> Schema:
    """All fields are required, as one with a default is given too; but a report leaves out what is
    new and empty.
    """
    about = (kind.__doc__ or "").partition("\n\n")[0].replace("``", "`")
    made = table(" ".join(about.split()), **_fields(kind))
    optional = NEW if kind is UnitReport else frozenset[str]()
    return made | {"required": [name for name in made["required"] if name not in optional]}


def _fields(kind: Any) -> dict[str, Schema]:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: _value(hints[name]) for name in names}


def _value(hint: Any) -> Schema:
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return schema(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    match typing.get_origin(hint):
        case None:
            return _SIMPLE[hint]
        case typing.Literal:
            return {"enum": list(arguments)}
        case types.UnionType | typing.Union:
            return {"anyOf": [_value(one) for one in arguments]}
        case kind if issubclass(kind, Mapping):
            return by_name(_value(arguments[1]))
        case kind if issubclass(kind, Iterable):
            return rows(_value(arguments[0]))
    raise TypeError(f"no schema is known for {hint}")
