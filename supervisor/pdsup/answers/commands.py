"""Small answers: what a unit was when a command reached it, where it writes, a link. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pdsup.units.public_state import PublicState


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitBefore:
    """What a unit was when a command reached it: what has come of that shows by comparison."""

    state: PublicState
    run: int
    since: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLink:
    """A link to the live page, good for one visit within so many seconds."""

    url: str
    address: str
    port: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """Where a unit writes."""

    path: str
