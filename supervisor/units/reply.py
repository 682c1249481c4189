"""Whether an HTTP reply is what a check wants. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from supervisor.plan.model import Check
from supervisor.units.health import Answer, No, Yes

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and as much of the body as was wanted."""

    status: int
    body: bytes = b""


def wants_body(check: Check) -> bool:
    """Whether more than the status counts."""
    return check.body is not None or check.field is not None or check.gauges is not None


def judge(check: Check, reply: Reply) -> Answer:
    """The answer to a check with a path, but for its gauges."""
    if reply.status in check.skip:
        return Yes()
    if not _is_wanted(check, reply.status):
        return No(f"HTTP {reply.status}")
    if not wants_body(check):
        return Yes()
    text = reply.body.decode(errors="replace")
    if check.body is not None and not re.search(check.body, text):
        return No(f"nothing like {check.body} in its answer")
    return Yes() if check.field is None else _field(check.field, check.equals, text)


def _is_wanted(check: Check, status: int) -> bool:
    return status in check.status if check.status else status // 100 == 2


def _field(path: str, equals: str | None, text: str) -> Answer:
    try:
        value = _inside(json.loads(text), path.split("."))
    except ValueError:
        return No("its answer is no JSON")
    except LookupError:
        return No(f"no {path} in its answer")
    if equals is None:
        return Yes() if value else No(f"{path} is empty")
    shown = value if isinstance(value, str) else json.dumps(value)
    return Yes() if shown == equals else No(f"{path} is {shown[:_SHOWN]}, not {equals}")


def _inside(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if isinstance(value, list) and key.isdecimal():
            value = value[int(key)]
        elif isinstance(value, dict):
            value = value[key]
        else:
            raise KeyError(key)
    return value
