"""What the log of an agent that has ended says about its end. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

_ABOUT_THE_LINE = frozenset({"node", "level", "timestamp", "event"})


def last_words(lines: Sequence[str]) -> str:
    """Why the agent ended, by the last lines of its log: a sentence, the end of a traceback, or a
    line of JSON that is an error. Empty if its last line reports something else.
    """
    said = [line.strip() for line in lines if line.strip()]
    if not said:
        return ""
    try:
        value = json.loads(said[-1])
    except (ValueError, RecursionError):
        return said[-1].removeprefix("pdsup: ")
    if not isinstance(value, dict) or value.get("level") not in ("error", "critical"):
        return ""
    details = [str(each) for name, each in value.items() if name not in _ABOUT_THE_LINE]
    return ": ".join(part for part in (str(value.get("event")), ", ".join(details)) if part)
