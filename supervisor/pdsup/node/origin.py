"""The source of a run's plan: the file and options that a reload reads again. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pdsup import typed
from pdsup.plan.engines.engine import EngineName

FILE = "origin.json"
# Options come from a command line, which the kernel bounds.
MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The source of a plan. ``file``: the absolute path of a plan or recipe, or FILE:VARIANT; the
    other fields are the options given with it on the command line.
    """

    file: str
    variant: str | None = None
    overrides: tuple[str, ...] = ()
    engine: EngineName | None = None


def write(origin: Origin) -> bytes:
    """The content of ``origin.json`` in the run directory."""
    return f"{json.dumps(asdict(origin), indent=2)}\n".encode()


def read(text: bytes) -> Origin | None:
    """The origin that ``write`` wrote; None for any other content."""
    try:
        origin, _ = typed.read(Origin, json.loads(text))
    except (ValueError, RecursionError):
        return None
    return origin
