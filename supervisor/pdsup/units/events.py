"""What can happen to a unit, and what its lifecycle orders in return: values only.

An event that speaks of a process carries the number of the run that the process belongs to. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import FOREVER

# -- events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """It is wanted up."""


@dataclass(frozen=True, slots=True)
class Stop:
    """It is wanted down. ``within``: seconds until what is left of it is killed, where that is less
    than the plan grants it; then it does not drain either, and one that ends already ends sooner.
    """

    within: float = FOREVER


@dataclass(frozen=True, slots=True)
class Restart:
    """It is to restart: what runs is ended first, and past failures are forgotten."""

    reason: str = "restart requested"


@dataclass(frozen=True, slots=True)
class Tick:
    """Time may have passed a deadline."""


@dataclass(frozen=True, slots=True)
class GateChanged:
    """The gate may have opened or closed; the new answer is in ``Context.gate``."""


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The run was not spawned: the operating system refused."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class Lingering:
    """The main process ended, and other processes of the run survive SIGKILL so far."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The main process ended, and no process of the run is left.

    ``cause``: what the kernel or its output say of the reason; ``hopeless``: it would end so again;
    ``last_words``: the end of its output, where no cause is known.
    """

    run: int
    status: ExitStatus
    cause: str = ""
    hopeless: bool = False
    last_words: str = ""

    def __str__(self) -> str:
        return f"{self.status}: {self.cause}" if self.cause else str(self.status)


@dataclass(frozen=True, slots=True)
class Progressed:
    """It is not ready yet but makes progress, so its startup deadline moves."""

    run: int


@dataclass(frozen=True, slots=True)
class BecameReady:
    """Its startup probe passed, or its readiness probe passes again."""

    run: int


@dataclass(frozen=True, slots=True)
class LostReadiness:
    """Its readiness probe failed as often in a row as its plan allows."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class FoundDead:
    """It lives and will not serve again by itself; the evidence has been saved."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class Recycle:
    """It must restart together with others, through no fault of its own."""

    run: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drained:
    """It has no work left, and gets no more."""

    run: int


Event = (
    Start
    | Stop
    | Restart
    | Tick
    | GateChanged
    | SpawnFailed
    | Lingering
    | Exited
    | Progressed
    | BecameReady
    | LostReadiness
    | FoundDead
    | Recycle
    | Drained
)


# -- effects ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the process of this run."""

    run: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Take it out of use; ``Drained`` answers when that is done."""

    run: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send the stop signal to the main process: a TERM to the group breaks an engine's drain."""

    run: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the whole tree."""

    run: int


Effect = Spawn | Drain | Terminate | Kill
