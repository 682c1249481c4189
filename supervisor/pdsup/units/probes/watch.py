"""Probes one run: startup until it is ready, then readiness and liveness until it ends.

This is the shell around ``health``. The startup probe comes first and alone: an engine that loads
its model cannot answer, and until then only progress keeps it from being given up. After that the
other two run side by side. Requests are expensive: SGLang's ``/health`` generates a token, queues
behind prefills and takes up to 20 s, so a check that both probes need is made once for both, the
next question waits for the answer to the last, and the first ones of many units are spread out.
Nothing here restarts anything: the findings become events, and the lifecycle decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pdsup import clock
from pdsup.plan.model import Check, Probe
from pdsup.times import age
from pdsup.units.probes import health
from pdsup.units.probes.check import ProbeCheck, Subject
from pdsup.units.probes.health import Answer, No, Tally, Unasked, Yes
from pdsup.units.probes.progress import ProgressSigns
from pdsup.units.process import proc
from pdsup.units.process.nvml import GpuReadings
from pdsup.units.process.spawn import Spawner

# How many answers are kept as evidence of why a unit was considered dead.
KEPT = 60
# How often to look for progress while a unit loads; more often where ``quiet_s`` is short.
LOOK_S = 5.0
# How often to look whether a stopped process continues.
STOPPED_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Ready:
    """It became ready, or is ready again."""


@dataclass(frozen=True, slots=True)
class NotReadyYet:
    """It has not become ready yet."""

    detail: str


@dataclass(frozen=True, slots=True)
class Loading:
    """It is not ready yet but makes progress."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """It has lost its readiness; repeated with each new answer. ``since``: when it was last known
    to have it, in monotonic seconds.
    """

    detail: str
    since: float


@dataclass(frozen=True, slots=True)
class Dead:
    """It hangs and will not recover by itself. Reported once; liveness probing ends with it.
    ``since``: when it was last known not to, in monotonic seconds.
    """

    detail: str
    since: float


Finding = Ready | NotReadyYet | Loading | NotReady | Dead


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer: when it came (seconds since the epoch), and how many seconds it took."""

    at: float
    kind: str
    answer: Answer
    seconds: float


class Watch:
    """Probes one run, at most once at a time per kind of probe. Cancel ``run`` when the run ends.

    ``tell`` is called with each finding. ``ready``: whether the run was ready when an earlier agent
    last knew, None for a new run. ``asked``: the latest answers, the newest last.
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
        # What readiness adds up to.
        self._passing = ready is not False or subject.probes.readiness is None
        self._serves = False
        self._stirred = asyncio.Event()
        self._told_stopped = False  # since the last answer
        self._seen: No | None = None  # what a look at its processes says is wrong
        self._noticed = asyncio.Event()
        self._began = self._seen_well = clock.monotonic()
        # When liveness finds it dead at the earliest, in monotonic seconds; None: nothing is wrong.
        self.dies_at: float | None = None

    def latest(self) -> list[tuple[Check, Answer, float]]:
        """The latest answer to each check, and when it came, in monotonic seconds."""
        return [(one.check, one.answer, one.at) for one in self._known if one.answer is not None]

    @property
    def is_halted(self) -> bool:
        """Whether the kernel says of a run that was ready that it can't answer: one of its
        processes is stopped, or has died.
        """
        return self._told_stopped or self._seen is not None

    def halted(self) -> None:
        """Takes in that the main process was stopped or continued, so that nobody has to wait until
        a probe times out.
        """
        if (stopped := self._stopped()) is not None:
            now = clock.monotonic()
            self._told_stopped = self._serves
            self._tell(NotReady(stopped, now) if self._serves else NotReadyYet(stopped))
        elif self._serves and self.subject.probes.readiness is None and self._seen is None:
            self._told_stopped = False
            self._tell(Ready())
        self._stirred.set()

    async def run(self) -> None:
        """Probes startup until it passes, then readiness and liveness until cancelled."""
        probes = self.subject.probes
        if self._ready is None and probes.startup is not None:
            await self._start(probes.startup)
        await self._meet_processes()
        if self._ready is None:
            self._tell(Ready())
        self._serves = True
        if self._ready is not None and probes.readiness is None:
            self.halted()  # it may have been stopped or continued while no agent was there
        self._tell_seen()
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
                answer: Answer
                if (stopped := self._stopped()) is not None:
                    answer = No(stopped)
                else:
                    answer = await self._ask("startup", probe, clock.monotonic())
                tally = health.step(probe, tally, answer, clock.monotonic())
                if isinstance(answer, No | Unasked):
                    self._tell(NotReadyYet(answer.detail))
                if not tally.passing:
                    await self._pause(health.pause(probe, _chance()))
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
        """Records the unit's processes, so that one that dies right after readiness is missed."""
        self._began = self._seen_well = clock.monotonic()
        if (probe := self.subject.probes.liveness) is not None:
            await self._look_at_processes(probe)

    async def _look_at_processes(self, probe: Probe) -> None:
        for check in probe.checks:
            if check.tree is not None:
                self._take_seen(await self._check.ask(check, probe.timeout_s))

    def _take_seen(self, answer: Answer) -> None:
        """Takes in what the kernel says of its processes, and tells what that changes."""
        before = self._seen
        match answer:
            case No(seen=True):
                self._seen = answer
                self._noticed.set()
                self._tell_seen()
            case Yes():
                self._seen, self._seen_well = None, clock.monotonic()
                if before is not None and self._passing:
                    self._tell(Ready())

    def _tell_seen(self) -> None:
        if self._seen is not None:
            self._tell(NotReady(self._seen.detail, self._seen_well))

    async def _keep_asking(self, probe: Probe) -> None:
        tally, well = Tally(passing=self._passing), clock.monotonic()
        await self._pause(health.first_pause(probe, _chance()))
        while True:
            answer: Answer | None = None
            if self._stopped() is None:
                answer = await self._ask("readiness", probe, clock.monotonic())
            if (stopped := self._stopped()) is not None:
                self._told_stopped = True
                self._tell(NotReady(stopped, well))
            elif answer is not None:
                if self._told_stopped:
                    tally, self._told_stopped = Tally(passing=False), False
                before, tally = tally, health.step(probe, tally, answer, clock.monotonic())
                self._passing = tally.passing is True
                if isinstance(answer, Yes):
                    well = clock.monotonic()
                if self._seen is not None:
                    pass  # a look at its processes says more
                elif tally.passing and not before.passing:
                    self._tell(Ready())
                elif not tally.passing and isinstance(answer, No):
                    self._tell(NotReady(answer.detail, well))
            await self._pause(health.pause(probe, _chance()))

    async def _pause(self, seconds: float) -> None:
        """Waits; no longer than until the main process was stopped or continued."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        self._stirred.clear()

    def _stopped(self) -> str | None:
        """That the main process is stopped, if it is. A debugger's stop (t) is none: it is short,
        and the probes show a long one.
        """
        pid = self.subject.pid
        process = proc.seen(pid)
        if process is None or process.state != "T":
            return None
        return health.stopped(pid, process)

    async def _keep_watch(self, probe: Probe) -> None:
        tally = Tally(passing=True)
        asked = moved = well = clock.monotonic()
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
                moved = well = clock.monotonic()
            now = clock.monotonic()
            self.dies_at = health.dies_at(probe, tally, answer, moved, now)
            if isinstance(answer, No) and health.is_dead(probe, tally, answer, moved, now):
                self._tell(Dead(_story(answer, moved, now), well))
                return
            await self._rest(probe, health.pause(probe, _chance()))

    async def _rest(self, probe: Probe, seconds: float) -> None:
        """Waits for the next question. There is no event when a process below the main one
        continues, so meanwhile it looks at those that are stopped.
        """
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            if self._seen is not None and not self._seen.final:
                await asyncio.sleep(min(STOPPED_LOOK_S, left))
                await self._look_at_processes(probe)
                continue
            self._noticed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._noticed.wait()

    async def ask_afresh(self) -> tuple[Answer, float]:
        """Asks readiness and liveness once more, and waits for questions that are under way.

        Returns the answer, and when that was last known not to be no, in monotonic seconds.
        """
        now, probes = clock.monotonic(), self.subject.probes
        answers: list[Answer] = []
        if (stopped := self._stopped()) is not None:
            return No(stopped), max((each.well for each in self._known), default=self._began)
        for kind, probe in (("liveness", probes.liveness), ("readiness", probes.readiness)):
            if probe is not None and not any(isinstance(each, No) for each in answers):
                answers.append(await self._ask(kind, probe, now, afresh=True))
        answer = health.combined(answers)
        asked = next((each for each in self._known if each.answer is answer), None)
        return answer, asked.well if asked else now

    async def _ask(self, kind: str, probe: Probe, since: float, *, afresh: bool = False) -> Answer:
        """Asks a probe. A check that a probe of another kind made after ``since`` is not repeated:
        each request to SGLang's ``/health`` generates a token. ``afresh``: it first waits for
        questions that are under way.
        """
        began = clock.monotonic()
        answers = []
        for check in probe.checks:
            known = next((entry for entry in self._known if entry.check == check), None)
            if known is None:
                known = _Known(check, well=self._began)
                self._known.append(known)
            if afresh:
                await known.all_answered()
            latest = known.answer
            if latest is None or known.at <= since:
                latest = await known.ask(self._check.ask(check, probe.timeout_s))
                if check.tree is not None and kind != "startup":
                    self._take_seen(latest)
            answers.append(latest)
            if isinstance(latest, No):
                break
        answer = health.combined(answers)
        self.asked.append(Asked(clock.wall(), kind, answer, clock.monotonic() - began))
        return answer


@dataclass(slots=True)
class _Known:
    """The latest answer to a check, whichever probe asked, and when it came.

    ``well``: when the last answer came that was not no. ``asking``: questions under way; two probes
    with different timeouts may ask at the same time.
    """

    check: Check
    well: float
    answer: Answer | None = None
    at: float = 0.0
    asking: set[asyncio.Event] = field(default_factory=set)

    async def ask(self, question: Awaitable[Answer]) -> Answer:
        """Keeps the answer to a question, and returns it."""
        answered = asyncio.Event()
        self.asking.add(answered)
        try:
            self.answer = answer = await question
        finally:
            self.asking.discard(answered)
            answered.set()
        self.at = clock.monotonic()
        if not isinstance(answer, No):
            self.well = self.at
        return answer

    async def all_answered(self) -> None:
        """Returns when the questions under way are answered."""
        for answered in list(self.asking):
            await answered.wait()


def _story(answer: No, moved: float, now: float) -> str:
    if answer.final:
        return answer.detail
    return f"{answer.detail}; no progress for {age(now - moved)}"


def _chance() -> float:
    return random.random()  # noqa: S311 (jitter, no secret)
