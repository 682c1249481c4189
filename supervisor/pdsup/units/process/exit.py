"""How a process ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a main process ended: an exit code, or the name of the signal that killed it.

    Neither is known of a process whose every parent was killed before it.
    """

    code: int | None
    signal: str | None = None

    def __str__(self) -> str:
        if self.signal:
            return f"killed by {self.signal}"
        return (
            f"exited with status {self.code}" if self.code is not None else "ended, nobody saw how"
        )
