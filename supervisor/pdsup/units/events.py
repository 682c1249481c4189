"""What can happen to a unit, and what its lifecycle orders in return: values only. Pure."""

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
    """It is wanted up afresh: whatever runs is ended first, and past failures are forgotten."""

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
    """The main process ended, and parts of its tree still live although they were killed."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The main process ended, and nothing of its tree is left.

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
    """It is not ready yet, but it gets on: its startup deadline moves."""

    run: int


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The readiness question was answered with yes."""

    run: int


@dataclass(frozen=True, slots=True)
class LostReadiness:
    """The readiness question was answered with no, often enough."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class FoundDead:
    """It lives and will never serve again; what could be learned from it has been saved."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class Recycle:
    """It must begin afresh with others, through no fault of its own."""

    run: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drained:
    """It has no more work, and gets none."""

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
    """Take it out of use, and tell ``Drained`` when that is done."""

    run: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send the stop signal to the main process only: a group TERM breaks an engine's drain."""

    run: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the whole tree."""

    run: int


Effect = Spawn | Drain | Terminate | Kill
