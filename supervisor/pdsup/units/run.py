"""Watches one run of a unit: turns what its probes tell into events of its lifecycle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pdsup.units import events
from pdsup.units.facts import Transition
from pdsup.units.probes.check import Subject
from pdsup.units.probes.watch import Asked, Prober


@dataclass(frozen=True, slots=True)
class Patron:
    """Who is told. ``news``: what to say of a unit that is not ready yet. ``examine``: takes the
    evidence of a dead one, and tells where it lies.
    """

    tell: Callable[[events.Event], None]
    is_starting: Callable[[], bool]
    news: Callable[[str], None]
    examine: Callable[[str], Awaitable[str]]


class Monitor:
    """Of one run; ``run`` does it, and is cancelled when the run ends."""

    def __init__(
        self,
        number: int,
        subject: Subject,
        prober: Prober,
        patron: Patron,
        *,
        ready: bool | None = None,
    ) -> None:
        self._number = number
        self._patron = patron
        self._watch = prober.watch(subject, self, ready=ready)
        self.subject = subject

    @property
    def asked(self) -> Sequence[Asked]:
        """The newest answers, the last one last."""
        return self._watch.asked

    async def run(self) -> None:
        """Asks until cancelled."""
        await self._watch.run()

    def ready(self) -> None:
        """See ``prober.Listener``."""
        self._patron.tell(events.BecameReady(self._number))

    def not_ready(self, detail: str) -> None:
        """See ``prober.Listener``."""
        if self._patron.is_starting():
            self._patron.news(f"not ready yet: {detail}")
        else:
            self._patron.tell(events.LostReadiness(self._number, detail))

    def progressed(self) -> None:
        """See ``prober.Listener``."""
        self._patron.tell(events.Progressed(self._number))

    async def found_dead(self, detail: str) -> None:
        """See ``prober.Listener``."""
        told = await self._patron.examine(detail)
        self._patron.tell(events.FoundDead(self._number, f"{detail}; {told}"))


class UnitHost(Protocol):
    """What a runner asks of and tells to the agent around it."""

    def gate(self, unit: str, *, first: bool) -> str | None:
        """What the unit waits for before a start, or None."""

    def before_spawn(self, unit: str) -> None:
        """Last preparations for a start; raises SupervisorError or OSError to refuse it."""

    def drain_within(self, unit: str) -> float:
        """How long it may take to get the unit out of use, in seconds; 0: it need not be."""

    async def drain(self, unit: str) -> None:
        """Returns when the unit, which is to end, has no more work and gets none."""

    def changed(self, unit: str, transition: Transition | None) -> None:
        """Facts of the unit changed, by a transition or without one (a probe's detail)."""

    async def examine(self, unit: str, reason: str) -> str:
        """Takes the evidence of a unit that was found dead; tells where it lies."""
