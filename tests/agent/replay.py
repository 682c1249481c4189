"""Replays the steps of a journal: its events, fed to the lifecycle, give the states it tells."""

from typing import Any

from pdsup.plan.model import Plan
from pdsup.units import codec, lifecycle, states


def replay(lines: list[dict[str, Any]], plan: Plan, *, missing: int = 0) -> int:
    """How many lines were replayed; asserts that each leads where it says.

    ``missing``: so many lines may not be there. An agent that is killed in the microseconds after
    it noted a step in its ledger has not written it into the journal.
    """
    now: dict[str, states.State] = {}
    for line in lines:
        unit = plan.by_name[line["unit"]]
        context = codec.read_context(line["context"], line["monotonic"], unit.restart)
        before = now.get(unit.name, states.Stopped())
        told = codec.state(line["state"])
        after, _ = lifecycle.step(before, codec.event(line["event"]), context)
        if (states.public(before), after) != (line["from"], told) and missing > 0:
            missing -= 1
            after = told
        else:
            assert (states.public(before), states.public(after)) == (line["from"], line["to"]), line
            assert after == told, line
        now[unit.name] = after
    return len(lines)
