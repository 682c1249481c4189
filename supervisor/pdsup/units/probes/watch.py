"""Asks a running unit whether it is ready and alive, and tells what the answers add up to."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pdsup import clock
from pdsup.plan.model import Check, Probe
from pdsup.units.probes import health
from pdsup.units.probes.check import ProbeCheck, Subject
from pdsup.units.probes.health import Answer, No, Tally, Unasked, Yes
from pdsup.units.probes.progress import ProgressSigns
from pdsup.units.process.gpus import GpuReadings
from pdsup.units.process.spawn import Spawner

# How many answers are kept as evidence of why a unit was found dead.
KEPT = 60
# How often to look for progress of a unit that starts: at least ten times in ``quiet_s``.
LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class Ready:
    """The first yes, or the first after readiness was lost."""


@dataclass(frozen=True, slots=True)
class NotReadyYet:
    """A no before the first yes, or no answer that counts."""

    detail: str


@dataclass(frozen=True, slots=True)
class Loading:
    """It is not ready yet, but it makes progress."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """A no while readiness is lost."""

    detail: str


@dataclass(frozen=True, slots=True)
class Dead:
    """It will not serve again by itself. Found once; liveness is not asked for after it."""

    detail: str


Finding = Ready | NotReadyYet | Loading | NotReady | Dead


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer, at seconds since the epoch, and how many seconds it took."""

    at: float
    kind: str
    answer: Answer
    seconds: float


class Watch:
    """The questions to one run, never two of one kind at once. Cancel ``run`` when it ends.

    ``tell`` hears what the answers add up to. ``ready``: what an earlier agent knew of the run;
    None: nothing. ``asked``: the newest answers, the last one last.
    """

    def __init__(
        self,
        subject: Subject,
        spawner: Spawner,
        gpus: GpuReadings,
        tell: Callable[[Finding], None],
        *,
        ready: bool | None = None,
    ) -> None:
        self.subject = subject
        self.asked: deque[Asked] = deque(maxlen=KEPT)
        self._ready = ready
        self._check = ProbeCheck(subject, spawner)
        self._gpus = gpus
        self._tell = tell
        self._known: list[_Known] = []

    async def run(self) -> None:
        """Startup until its first yes, then readiness and liveness until cancelled."""
        probes = self.subject.probes
        if self._ready is None and probes.startup is not None:
            await self._start(probes.startup)
        await self._meet_processes()
        if self._ready is None:
            self._tell(Ready())
        async with asyncio.TaskGroup() as tasks:
            if probes.readiness is not None:
                tasks.create_task(self._keep_asking(probes.readiness))
            if probes.liveness is not None:
                tasks.create_task(self._keep_watch(probes.liveness))

    async def _start(self, probe: Probe) -> None:
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._look_for_progress(probe))
            tally = Tally()
            while not tally.passing:
                answer = await self._ask("startup", probe, clock.monotonic())
                tally = health.step(probe, tally, answer, clock.monotonic())
                if isinstance(answer, No | Unasked):
                    self._tell(NotReadyYet(answer.detail))
                if not tally.passing:
                    await asyncio.sleep(health.pause(probe, _chance()))
            looking.cancel()

    async def _look_for_progress(self, probe: Probe) -> None:
        if probe.quiet_s is None:
            return
        progress = ProgressSigns(self.subject, self._gpus)
        signs = await progress.at_load()
        while True:
            await asyncio.sleep(min(LOOK_S, probe.quiet_s / 10))
            before, signs = signs, await progress.at_load()
            if health.loads(before, signs):
                self._tell(Loading())

    async def _meet_processes(self) -> None:
        """A process that dies as soon as the unit is ready is missed only if it was seen before."""
        if (probe := self.subject.probes.liveness) is not None:
            for check in probe.checks:
                if check.tree is not None:
                    await self._check.ask(check, probe.timeout_s)

    async def _keep_asking(self, probe: Probe) -> None:
        tally = Tally(passing=self._ready is not False)
        await asyncio.sleep(health.first_pause(probe, _chance()))
        while True:
            answer = await self._ask("readiness", probe, clock.monotonic())
            before, tally = tally, health.step(probe, tally, answer, clock.monotonic())
            if tally.passing and not before.passing:
                self._tell(Ready())
            elif not tally.passing and isinstance(answer, No):
                self._tell(NotReady(answer.detail))
            await asyncio.sleep(health.pause(probe, _chance()))

    async def _keep_watch(self, probe: Probe) -> None:
        tally = Tally(passing=True)
        asked = moved = clock.monotonic()
        progress = ProgressSigns(self.subject, self._gpus)
        signs = await progress.at_work()
        await asyncio.sleep(health.first_pause(probe, _chance()))
        while True:
            since, asked = asked, clock.monotonic()
            answer = await self._ask("liveness", probe, since)
            tally = health.step(probe, tally, answer, clock.monotonic())
            if isinstance(answer, No):
                before, signs = signs, await progress.at_work()
                moved = clock.monotonic() if health.works(before, signs) else moved
            elif isinstance(answer, Yes):
                moved = clock.monotonic()
            now = clock.monotonic()
            if isinstance(answer, No) and health.is_dead(probe, tally, answer, moved, now):
                self._tell(Dead(_story(answer, moved, now)))
                return
            await asyncio.sleep(health.pause(probe, _chance()))

    async def _ask(self, kind: str, probe: Probe, since: float) -> Answer:
        """The answer to a probe. A check that a probe of another kind made after ``since`` is not
        repeated, as each request to an engine's health costs it a token.
        """
        began = clock.monotonic()
        answers = []
        for check in probe.checks:
            known = next((one for one in self._known if one.check == check), None)
            if known is None:
                known = _Known(check)
                self._known.append(known)
            if known.answer is None or known.at <= since:
                known.answer = await self._check.ask(check, probe.timeout_s)
                known.at = clock.monotonic()
            answers.append(known.answer)
            if isinstance(known.answer, No):
                break
        answer = health.together(answers)
        self.asked.append(Asked(clock.wall(), kind, answer, clock.monotonic() - began))
        return answer


@dataclass(slots=True)
class _Known:
    """The newest answer to a check, whichever probe made it, and when it came."""

    check: Check
    answer: Answer | None = None
    at: float = 0.0


def _story(answer: No, moved: float, now: float) -> str:
    if answer.final:
        return answer.detail
    return f"{answer.detail}; nothing moved for {now - moved:.0f} s"


def _chance() -> float:
    return random.random()  # noqa: S311 (jitter, no secret)
