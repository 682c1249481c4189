"""Events, which are what can happen to a unit, and effects, which its lifecycle answers with.

An event about a process carries the number of the run that the process belongs to. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import FOREVER

# -- events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """The unit is to run."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The unit is to stop. ``within``: seconds until SIGKILL, where that is less than the plan's
    stop timeout. Then it does not drain, and a stop that has already begun is cut short.
    """

    within: float = FOREVER
    reason: str = "stop requested"


@dataclass(frozen=True, slots=True)
class Restart:
    """The unit is to restart: what runs is stopped first, and past failures are forgotten."""

    reason: str = "restart requested"


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline may have passed."""


@dataclass(frozen=True, slots=True)
class GateChanged:
    """The gate may have opened or closed; the new answer is in ``Context.gate``."""


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The process could not be started: the operating system refused.

    ``hopeless``: it would refuse another start too.
    """

    run: int
    detail: str
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class Lingering:
    """The main process ended, but other processes of the run have survived SIGKILL so far."""

    run: int
    detail: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The main process ended, and no process of the run is left.

    ``cause``: why, if the kernel or the output tell; ``hopeless``: another run would fail the same
    way; ``last_words``: the end of the output, where no cause is known.
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
    """The unit is not ready yet but makes progress, which extends its startup deadline."""

    run: int


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The startup probe passed, or the readiness probe passes again."""

    run: int


@dataclass(frozen=True, slots=True)
class LostReadiness:
    """The readiness probe failed as many times in a row as the plan allows, or its processes are
    not as they should be. ``since``: when it was last known to be ready, in monotonic seconds.
    """

    run: int
    detail: str
    since: float = FOREVER


@dataclass(frozen=True, slots=True)
class FoundDead:
    """The unit hangs and will not recover by itself; its evidence has been saved. ``since``: when
    it was last known not to hang, in monotonic seconds.
    """

    run: int
    detail: str
    since: float = FOREVER


@dataclass(frozen=True, slots=True)
class Recycle:
    """The unit must restart together with its gang, through no fault of its own."""

    run: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drained:
    """The unit has finished its work in flight, and gets no more."""

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
    """Take the unit out of use; ``Drained`` follows when that is done."""

    run: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send the stop signal to the main process only: a TERM to the group breaks SGLang's drain."""

    run: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Send SIGKILL to the whole process tree."""

    run: int


Effect = Spawn | Drain | Terminate | Kill
