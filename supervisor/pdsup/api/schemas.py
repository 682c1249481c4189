"""JSON Schemas of what the API answers, made of the classes that the answers are made of. Pure."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from pdsup.api.status import SHOWN
from pdsup.cluster.report import AgentReport, Report, UnitReport
from pdsup.units.process.gpu import Use
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


def all_schemas() -> dict[str, Schema]:
    """Every named one."""
    made = {kind.__name__: _class(kind) for kind in _classes(Report)}
    return made | _status() | _journal() | _explanation()


def _status() -> dict[str, Schema]:
    unit, agent = _fields(UnitReport), _fields(AgentReport)
    shown = {name: unit[name] for name in SHOWN} | {"since": maybe(NUMBER)}
    unknown = {name: maybe(schema) for name, schema in agent.items()}
    return {
        "Use": _class(Use),
        "Unit": table(
            "A unit, as `pdsup status` shows it.",
            **shown,
            uptime_s=maybe(NUMBER),
            gpu_use=maybe(ref("Use")),
        ),
        "Agent": table(
            "The agent of a node; what is null is not known.",
            **unknown,
            reachable=TRUTH,
            age_s=maybe(NUMBER),
            problem=maybe(TEXT),
        ),
        "Node": table(node=TEXT, address=TEXT, agent=ref("Agent"), units=rows(ref("Unit"))),
        "Status": table(
            "The status JSON. `plan` is the SHA-256 of the plan.",
            cluster=TEXT,
            plan=TEXT,
            nodes=rows(ref("Node")),
        ),
    }


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


def _explanation() -> dict[str, Schema]:
    condition = table(what=TEXT, holds=maybe(TRUTH), detail=TEXT)
    gate = table(
        "What must hold before a start; `holds` is null where this agent does not know.",
        rule=TEXT,
        enough=by_name(INTEGER),
        conditions=rows(condition),
    )
    outlook = table("What happens next, and when.", what=TEXT, at=maybe(NUMBER))
    return {
        "Gate": gate,
        "Outlook": outlook,
        "Explanation": table(
            "Why a unit is in its state.",
            unit=ref("Unit"),
            address=TEXT,
            agent=ref("Agent"),
            told_by=TEXT,
            gate=ref("Gate"),
            next=ref("Outlook"),
            log=TEXT,
            run_dir=TEXT,
        ),
    }


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
    """All fields are required: one with a default is given too."""
    about = (kind.__doc__ or "").partition("\n\n")[0].replace("``", "`")
    return table(" ".join(about.split()), **_fields(kind))


def _fields(kind: Any) -> dict[str, Schema]:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: _value(hints[name]) for name in names}


def _value(hint: Any) -> Schema:
    arguments = typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return ref(getattr(hint, "__name__", ""))
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
