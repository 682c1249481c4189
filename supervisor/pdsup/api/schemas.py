"""JSON Schemas of the API's responses, derived from the classes of the responses. Pure."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from pdsup import typed
from pdsup.answers.checks import FreshChecks
from pdsup.answers.commands import EvidenceTaken, LogFile, LogFiles, PageLink, UnitBefore
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
    """A reference to a named schema in the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def table(about: str = "", /, **fields: Schema) -> Schema:
    """An object with these fields, all required."""
    described = {"description": about} if about else {}
    return {"type": "object", **described, "required": list(fields), "properties": fields}


def rows(of: Schema) -> Schema:
    """A list of items of this schema."""
    return {"type": "array", "items": of}


def by_name(of: Schema) -> Schema:
    """An object whose keys are names and whose values have this schema."""
    return {"type": "object", "additionalProperties": of}


def maybe(of: Schema) -> Schema:
    """A value of this schema, or null."""
    return {"anyOf": [of, NOTHING]}


# The classes of responses; the classes of their fields are found from these.
_WITH_PARTS = (Report, Status, Explanation, FreshChecks, Reloading)
_SMALL = (Replacing, UnitBefore, EvidenceTaken, PageLink, LogFile, LogFiles)
# Classes with another name in the document than in the code.
_NAMES = {
    UnitStatus: "Unit",
    AgentStatus: "Agent",
    NodeStatus: "Node",
    GateCondition: "Condition",
    GpuUse: "Use",
}


def all_schemas() -> dict[str, Schema]:
    """All named schemas."""
    kinds = [kind for root in _WITH_PARTS for kind in _classes(root)]
    return {_name(kind): _class(kind) for kind in (*kinds, *_SMALL)} | _journal()


def schema(kind: Any) -> Schema:
    """A reference to the schema of a class."""
    return ref(_name(kind))


def _name(kind: Any) -> str:
    return _NAMES.get(kind, str(kind.__name__))


def _journal() -> dict[str, Schema]:
    """The schemas of journal lines, which allow more fields: a later version may write them."""
    event = {"type": "object", "required": ["type"], "properties": {"type": TEXT}}
    state = _value(PublicState)
    line: Schema = {
        "type": "object",
        "description": "A line of the journal. A change of state has `from` and `to`.",
        "required": ["at", "node", "event"],
        "properties": {
            "at": {**NUMBER, "description": _SECONDS},
            "monotonic": NUMBER,
            "boot": TEXT,
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
    """A class and, recursively, those of its fields."""
    classes = [root]
    for kind in classes:
        for hint in typed.fields(kind).values():
            classes += [inner for inner in _inside(hint) if inner not in classes]
    return classes


def _inside(hint: Any) -> list[Any]:
    if typed.has_fields(hint):
        return [hint]
    return [kind for inner in typing.get_args(hint) for kind in _inside(inner)]


def _class(kind: Any) -> Schema:
    """The schema of a class.

    All fields are required, since those with a default are sent as well; only new fields of a
    report are left out when they are None.
    """
    about = (kind.__doc__ or "").partition("\n\n")[0].replace("``", "`")
    schema = table(" ".join(about.split()), **_fields(kind))
    optional = NEW if kind in (UnitReport, Report) else frozenset[str]()
    return schema | {"required": [name for name in schema["required"] if name not in optional]}


def _fields(kind: Any) -> dict[str, Schema]:
    return {name: _value(hint) for name, hint in typed.fields(kind).items()}


def _value(hint: Any) -> Schema:
    arguments = typing.get_args(hint)
    if typed.has_fields(hint):
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
