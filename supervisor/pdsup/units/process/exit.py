"""How a process ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a main process ended: an exit code, or the name of the signal that killed it.

    Both are None where nobody could wait for it: its agent and its guardian were killed before.
    """

    code: int | None
    signal: str | None = None

    def __str__(self) -> str:
        if self.signal:
            return f"killed by {self.signal}"
        if self.code is None:
            return "exited with unknown status"
        return f"exited with status {self.code}"
