"""Small answers: the state of a unit when a command reached it, its log file, a link. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pdsup.units.public_state import PublicState


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitBefore:
    """A unit when a command reached it; compared with its later status this shows the effect.

    ``at``: when that was, as in ``LastCommand``; agents of 0.1.0 do not send it.
    """

    state: PublicState
    run: int
    since: float | None
    at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceTaken:
    """Where the evidence of a unit is; ``directory`` is null if there is none: see ``problem``."""

    directory: str | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLink:
    """A link to the live page, valid for one visit within ``seconds``."""

    url: str
    address: str
    port: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """The file to which a unit's output goes, and whose that is.

    ``noise``: regular expressions; a line that matches one is about a probe.
    """

    path: str
    name: str = ""
    kind: str = ""
    role: str | None = None
    gang: str | None = None
    noise: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFiles:
    """The logs of all units of the cluster, in the order of the plan."""

    logs: tuple[LogFile, ...]
