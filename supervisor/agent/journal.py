"""One line of JSON for each change of a unit's state: what happened, when, and why. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict

from supervisor.units import lifecycle
from supervisor.units.facts import Transition


def line(transition: Transition, node: str, wall: float, monotonic: float) -> str:
    """The journal's line, with its line feed. Times are seconds."""
    entry = {
        "at": round(wall, 6),
        "monotonic": round(monotonic, 6),
        "node": node,
        "unit": transition.unit,
        "run": lifecycle.run_of(transition.after) or lifecycle.run_of(transition.before),
        "event": {"type": type(transition.event).__name__, **asdict(transition.event)},
        "from": lifecycle.public(transition.before),
        "to": lifecycle.public(transition.after),
        "reason": lifecycle.reason_of(transition.after),
    }
    return json.dumps(entry, separators=(",", ":")) + "\n"
