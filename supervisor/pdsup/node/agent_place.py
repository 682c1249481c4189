"""Where the agent of a node is, as it notes it in the run directory: ``agents/NODE.json``.

Where an agent keeps its control socket depends on XDG_RUNTIME_DIR and TMPDIR; a shell on the node,
another job step or another user has other values. Pure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pdsup import typed


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlace:
    """The place of an agent: its node-local ``directory``, the ``host`` and that host's ``boot``
    (``clock.boot``), and the Slurm ``job``, if any.
    """

    directory: str
    host: str
    boot: str
    job: str = ""


def write(place: AgentPlace) -> bytes:
    """The content of the file."""
    return f"{json.dumps(asdict(place))}\n".encode()


def read(text: bytes) -> AgentPlace | None:
    """The place that ``write`` wrote; None for any other content."""
    try:
        place, _ = typed.read(AgentPlace, json.loads(text), lenient=True)
    except (ValueError, RecursionError):
        return None
    return place
