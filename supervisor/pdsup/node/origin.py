"""What a run's plan was made of: the file that a reload reads again. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pdsup import typed
from pdsup.plan.engines.engine import EngineName

FILE = "origin.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """``file``: an absolute path, of a plan or recipe, also FILE:VARIANT; the rest as on the
    command line that named it.
    """

    file: str
    variant: str | None = None
    overrides: tuple[str, ...] = ()
    engine: EngineName | None = None


def write(origin: Origin) -> bytes:
    """The content of the file of that name in the run directory."""
    return f"{json.dumps(asdict(origin), indent=2)}\n".encode()


def read(text: bytes) -> Origin | None:
    """What ``write`` wrote; None for anything else."""
    try:
        found, _ = typed.read(Origin, json.loads(text))
    except (ValueError, RecursionError):
        return None
    return found
