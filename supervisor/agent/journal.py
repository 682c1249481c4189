"""One line of JSON for each change of a unit's state, and for whatever else happens. Pure.

The line of a change holds all that its decision depended on, so that the changes of a unit can be
replayed. The line of anything else has no states: it lacks ``from`` and ``to``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from supervisor.agent import hardware
from supervisor.units import notation, states
from supervisor.units.facts import Transition


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that changes no state of a unit, at monotonic seconds. ``unit``: None where it is
    about the node or another one. ``facts``: what of it programs may want to know.
    """

    at: float
    unit: str | None
    run: int | None
    event: Literal["Reloaded", "ReloadFailed", "NodeLost", "NodeBack"] | hardware.Event
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def entry(news: Transition | Happening, node: str, wall: float) -> dict[str, Any]:
    """What a line holds. ``wall``: seconds since the epoch."""
    match news:
        case Transition():
            return _step(news, node, wall)
        case Happening():
            return _happening(news, node, wall)
    assert_never(news)


def line(news: Transition | Happening, node: str, wall: float) -> str:
    """The journal's line, with its line feed."""
    return json.dumps(entry(news, node, wall), separators=(",", ":"), allow_nan=False) + "\n"


def _step(transition: Transition, node: str, wall: float) -> dict[str, Any]:
    return {
        "at": round(wall, 6),
        "monotonic": transition.context.now,
        "node": node,
        "unit": transition.unit,
        "run": states.run_of(transition.after) or states.run_of(transition.before),
        "event": notation.tagged(transition.event),
        "from": states.public(transition.before),
        "to": states.public(transition.after),
        "reason": states.reason_of(transition.after),
        "state": notation.tagged(transition.after),
        "context": notation.context(transition.context),
    }


def _happening(happening: Happening, node: str, wall: float) -> dict[str, Any]:
    return {
        "at": round(wall, 6),
        "monotonic": happening.at,
        "node": node,
        "unit": happening.unit,
        "run": happening.run,
        "event": {"type": happening.event, **happening.facts},
        "reason": happening.reason,
    }
