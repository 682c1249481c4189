"""Watches over one run of a unit: turns what its probes tell into events of its lifecycle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from supervisor.units import lifecycle
from supervisor.units.asker import Subject
from supervisor.units.prober import Asked, Prober


@dataclass(frozen=True, slots=True)
class Patron:
    """Who is told. ``news``: what to say of a unit that is not ready yet. ``examine``: takes the
    evidence of a dead one, and tells where it lies.
    """

    tell: Callable[[lifecycle.Event], None]
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
        self._patron.tell(lifecycle.BecameReady(self._number))

    def not_ready(self, detail: str) -> None:
        """See ``prober.Listener``."""
        if self._patron.is_starting():
            self._patron.news(f"not ready yet: {detail}")
        else:
            self._patron.tell(lifecycle.LostReadiness(self._number, detail))

    def progressed(self) -> None:
        """See ``prober.Listener``."""
        self._patron.tell(lifecycle.Progressed(self._number))

    async def found_dead(self, detail: str) -> None:
        """See ``prober.Listener``."""
        told = await self._patron.examine(detail)
        self._patron.tell(lifecycle.FoundDead(self._number, f"{detail}; {told}"))
