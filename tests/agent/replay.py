"""Replays the steps of a journal: its events, fed to the lifecycle, give the states it tells."""

from typing import Any

from supervisor.plan.model import Plan
from supervisor.units import lifecycle, notation, states


def replay(lines: list[dict[str, Any]], plan: Plan) -> int:
    """How many lines were replayed; asserts that each leads where it says."""
    now: dict[str, states.State] = {}
    for line in lines:
        unit = plan.by_name[line["unit"]]
        context = notation.read_context(line["context"], line["monotonic"], unit.restart)
        before = now.get(unit.name, states.Stopped())
        after, _ = lifecycle.step(before, notation.event(line["event"]), context)
        assert (states.public(before), states.public(after)) == (line["from"], line["to"]), line
        assert after == notation.state(line["state"]), line
        now[unit.name] = after
    return len(lines)
