"""One line of JSON for each change of a unit's state: what happened, when, and why. Pure.

A line holds all that its decision depended on, so that the lines of a unit can be replayed.
"""

from __future__ import annotations

import json

from supervisor.units import notation, states
from supervisor.units.facts import Transition


def line(transition: Transition, node: str, wall: float) -> str:
    """The journal's line, with its line feed. ``wall``: seconds since the epoch."""
    entry = {
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
    return json.dumps(entry, separators=(",", ":"), allow_nan=False) + "\n"
