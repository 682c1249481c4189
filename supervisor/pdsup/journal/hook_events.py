"""Maps what happened to the events that hooks subscribe to. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pdsup.journal.entry import Happening
from pdsup.plan.model import HookEvent
from pdsup.units import states
from pdsup.units.facts import Transition
from pdsup.units.public_state import PublicState

_STATES: Mapping[PublicState, HookEvent] = {
    PublicState.RUNNING: "ready",
    PublicState.UNHEALTHY: "unhealthy",
    PublicState.BACKOFF: "down",
    PublicState.FATAL: "fatal",
    PublicState.EXITED: "exited",
}
_HAPPENINGS: Mapping[str, HookEvent] = {
    "Reloaded": "reload",
    "ReloadFailed": "reload-failed",
    "GpusThrottled": "gpu-throttled",
    "GpusUnthrottled": "gpu-back",
    "GpusLost": "gpu-lost",
    "GpusBack": "gpu-back",
    "NodeLost": "node-lost",
    "NodeBack": "node-back",
}


def event(news: Transition | Happening) -> HookEvent | None:
    """The hook event for something that happened; None for the many steps that are none."""
    match news:
        case Happening(event=what):
            return _HAPPENINGS.get(what)
        case Transition(before=before, after=after):
            state = states.public(after)
            if state == states.public(before):
                return None
            if isinstance(after, states.Starting):
                return "restart" if after.run > 1 else None
            return _STATES.get(state)


def text(hook: HookEvent, cluster: str, line: str) -> bytes:
    """What a hook receives about a line of the journal: one line too, with its line feed."""
    first = json.dumps({"hook": hook, "cluster": cluster}, separators=(",", ":"))
    return f"{first[:-1]},{line[1:]}".encode()
