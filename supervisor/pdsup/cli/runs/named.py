"""The run directory that a user named, with an option or PDSUP_RUN_DIR."""

from __future__ import annotations

import os
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from pdsup.node.paths import refuse_odd

VARIABLE = "PDSUP_RUN_DIR"


class Source(Enum):
    """How a run was chosen."""

    OPTION = auto()  # --run-dir, or an argument
    VARIABLE = auto()  # PDSUP_RUN_DIR
    INSIDE = auto()  # the command stands in its directory
    NEARBY = auto()  # the only active one in ./ or ./runs/
    MACHINE = auto()  # the only active one on this machine
    NEWEST = auto()  # the newest of several

    @property
    def is_named(self) -> bool:
        """Whether the user has said which run is meant."""
        return self in (Source.OPTION, Source.VARIABLE, Source.INSIDE)


class Named(NamedTuple):
    """A run directory that the user named. Its text says where the name came from."""

    path: Path
    source: Source

    def __str__(self) -> str:
        return f"{self.path}{self.origin}"

    @property
    def origin(self) -> str:
        """Where the name came from, if not from the command line."""
        return f" (from {VARIABLE})" if self.source is Source.VARIABLE else ""


def given(option: str | None) -> Named | None:
    """The run directory that an option or PDSUP_RUN_DIR names, whether it exists or not.

    Raises WrongUsage if that is not UTF-8.
    """
    named = option or os.environ.get(VARIABLE)
    if not named:
        return None
    refuse_odd(named)
    return Named(Path(named), Source.OPTION if option else Source.VARIABLE)
