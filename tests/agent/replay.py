"""Replays the steps of a journal: its events, fed to the lifecycle, give the states it tells."""

from typing import Any

from pdsup.plan.model import Plan
from pdsup.units import codec, lifecycle, states


def replay(lines: list[dict[str, Any]], plan: Plan) -> int:
    """How many lines were replayed; asserts that each leads where it says."""
    now: dict[str, states.State] = {}
    for line in lines:
        unit = plan.by_name[line["unit"]]
        context = codec.read_context(line["context"], line["monotonic"], unit.restart)
        before = now.get(unit.name, states.Stopped())
        after, _ = lifecycle.step(before, codec.event(line["event"]), context)
        assert (states.public(before), states.public(after)) == (line["from"], line["to"]), line
        assert after == codec.state(line["state"]), line
        now[unit.name] = after
    return len(lines)
