"""Watches of real servers on loopback addresses: what they tell, and in what order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from pdsup.plan.model import Check, Probe, Probes, Progress
from pdsup.units.probes.check import Subject
from pdsup.units.probes.health import No
from pdsup.units.probes.watch import Dead, Finding, Loading, NotReady, NotReadyYet, Ready, Watch
from pdsup.units.process.gpu import Holder
from pdsup.units.process.nvml import GpuReadings
from pdsup.units.process.spawn import Spawner
from tests.units.servers import always, serving

LIMIT = 60.0  # seconds, for anything that is going to happen
PORTS = {"http": 8000, "other": 8001}
GET = Check(port="http", path="/health")


def probe(*checks: Check, **changes) -> Probe:
    numbers = {"timeout_s": 5.0, "period_s": 0.01, **changes}
    return Probe(checks=checks or (GET,), **numbers)


class Scripted:
    """A server whose answers are scripted, the watch of it, and what that told.

    After the script a question hangs, so that all before it are dealt with. ``works``: what its
    counter grows by at each look.
    """

    def __init__(self, address: str, probes: Probes, script: list[int], **how) -> None:
        self.address, self.script = address, iter(script)
        self.works = how.pop("works", 0)
        self.counter = 0
        self.said: list[str] = []
        self.asked: list[str] = []
        self.done = asyncio.Event()
        self.log = how.pop("log", Path("/nowhere"))
        subject = Subject(
            probes=probes, address=address, ports=PORTS, pid=how.pop("pid", os.getpid()), env={},
            log_path=str(self.log), log_start=0, gpus=how.pop("gpus", ()),
        )  # fmt: skip
        self.watch = Watch(subject, Spawner(), how.pop("meter", GpuReadings()), self.hear)

    def hear(self, finding: Finding) -> None:
        match finding:
            case Ready():
                self.said.append("ready")
            case NotReadyYet(detail):
                self.said.append(f"not yet, {detail.rpartition(': ')[2]}")
            case NotReady(detail):
                self.said.append(detail.rpartition(": ")[2])
            case Loading():
                self.said.append("loading")
            case Dead(detail):
                self.said.append(f"dead, {detail.rpartition(': ')[2]}")
                self.done.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path == "/metrics":
            self.counter += self.works
            return web.Response(text=f"tokens_total {self.counter}\n")
        status = next(self.script, None)
        if status is None:
            self.done.set()
            await asyncio.Event().wait()
        return web.Response(status=status or 500)

    async def run(self) -> list[str]:
        """What was told, in order, when the script is at its end."""
        async with serving(self.address, self.answer):
            watching = asyncio.create_task(self.watch.run())
            async with asyncio.timeout(LIMIT):
                await self.done.wait()
            watching.cancel()
            await asyncio.wait({watching})
        assert watching.cancelled()
        return self.said


async def test_startup_tells_every_no_until_the_first_yes(address: str) -> None:
    probes = Probes(startup=probe(), readiness=probe())
    said = await Scripted(address, probes, [503, 500, 200, 200]).run()
    assert said == ["not yet, HTTP 503", "not yet, HTTP 500", "ready"]


async def test_startup_wants_so_many_yes_in_a_row(address: str) -> None:
    probes = Probes(startup=probe(successes=2), readiness=probe())
    said = await Scripted(address, probes, [200, 503, 200, 200]).run()
    assert said == ["not yet, HTTP 503", "ready"]


async def test_all_checks_must_pass_and_the_first_that_does_not_is_named(address: str) -> None:
    both = probe(GET, Check(port="other", path="/x"))
    scripted = Scripted(address, Probes(startup=both), [200])
    assert await scripted.run() == ["not yet, connection refused"]
    async with serving(address, always(200), port=8001):
        probes = Probes(startup=both, readiness=probe())
        assert await Scripted(address, probes, [200]).run() == ["ready"]


async def test_readiness_is_lost_only_after_so_many_failures_in_a_row(address: str) -> None:
    probes = Probes(readiness=probe(failures=3))
    said = await Scripted(address, probes, [503, 503, 200, 503, 503, 200]).run()
    assert said == ["ready"]
    said = await Scripted(address, probes, [503, 503, 500]).run()
    assert said == ["ready", "HTTP 500"]


async def test_lost_readiness_is_told_again_with_each_newer_no(address: str) -> None:
    probes = Probes(readiness=probe(failures=2))
    said = await Scripted(address, probes, [503, 503, 500]).run()
    assert said == ["ready", "HTTP 503", "HTTP 500"]


async def test_one_yes_brings_readiness_back_and_is_told_once(address: str) -> None:
    probes = Probes(readiness=probe(failures=2))
    said = await Scripted(address, probes, [503, 503, 200, 200, 503, 200]).run()
    assert said == ["ready", "HTTP 503", "ready"]


async def test_a_unit_without_probes_is_ready_at_once(address: str) -> None:
    scripted = Scripted(address, Probes(), [])
    await scripted.watch.run()
    assert scripted.said == ["ready"]


async def test_answers_are_kept_for_whoever_asks_why(address: str) -> None:
    scripted = Scripted(address, Probes(startup=probe(), readiness=probe()), [503, 200])
    await scripted.run()
    kept = [f"{one.kind}, {one.answer}" for one in scripted.watch.asked]
    assert kept == [f"startup, no: {address}:8000/health: HTTP 503", "startup, yes"]


# -- dead or busy ------------------------------------------------------------------------------


async def test_failing_for_long_is_dead_when_nothing_moves(address: str) -> None:
    probes = Probes(liveness=probe(failures=2))
    assert await Scripted(address, probes, [200, 503, 503, 503]).run() == [
        *("ready", "dead, HTTP 503; no progress for 0 s"),
    ]


@pytest.fixture
def parent() -> Iterator[tuple[int, int]]:
    """The pids of a process and of its child, which it reaps."""
    command = "sleep 1000 & echo $!; wait; exec sleep 1000"
    process = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE)
    with process, process.stdout:
        child = int(process.stdout.readline())
        yield process.pid, child
        if psutil.pid_exists(child):
            os.kill(child, signal.SIGKILL)
        process.kill()


@pytest.mark.processes
async def test_a_process_that_dies_as_soon_as_its_unit_is_ready_is_missed(
    address: str, parent: tuple[int, int]
) -> None:
    main, child = parent

    class Losing(Scripted):
        def hear(self, finding: Finding) -> None:
            super().hear(finding)
            if isinstance(finding, Ready):
                os.kill(child, signal.SIGKILL)
                end = time.monotonic() + LIMIT
                while psutil.pid_exists(child):
                    assert time.monotonic() < end

    probes = Probes(liveness=probe(Check(tree="sleep")))
    said = await Losing(address, probes, [], pid=main).run()
    died = f"its process {child} (sleep) has died"
    assert said == ["ready", died, f"dead, {died}"]


class Stopping(Scripted):
    """Stops a process once it is ready, and lets it go on as soon as that is told."""

    def __init__(self, *given, **how) -> None:
        super().__init__(*given, **how)
        self.findings: list[Finding] = []
        self.halted: list[bool] = []

    def hear(self, finding: Finding) -> None:
        super().hear(finding)
        self.findings.append(finding)
        self.halted.append(self.watch.is_halted)
        if self.said == ["ready"]:
            os.kill(self.watch.subject.pid, signal.SIGSTOP)
        elif isinstance(finding, NotReady):
            os.kill(self.watch.subject.pid, signal.SIGCONT)
        else:
            self.done.set()


@pytest.mark.processes
@pytest.mark.parametrize("readiness", [probe(), None], ids=["asked", "not asked"])
async def test_a_stopped_process_is_told_at_once_and_so_is_that_it_continues(
    address: str, parent: tuple[int, int], readiness: Probe | None
) -> None:
    """Whatever the thresholds: the kernel's word needs no second one. It ends nothing."""
    main, _ = parent
    patient = probe(Check(tree="sleep"), failures=1000, quiet_s=600.0, period_s=2.0, jitter=0.0)
    probes = Probes(readiness=readiness, liveness=patient)
    scripted = Stopping(address, probes, [200] * 100_000, pid=main)
    began = time.monotonic()
    said = await scripted.run()
    assert [said[0], said[-1], len(said)] == ["ready", "ready", 3]
    assert said[1].endswith("is stopped (state T)")
    assert began <= scripted.findings[1].since < time.monotonic()
    assert scripted.halted == [False, True, False]


async def test_a_loss_of_readiness_counts_from_the_last_good_answer(address: str) -> None:
    class Timed(Scripted):
        def hear(self, finding: Finding) -> None:
            super().hear(finding)
            if isinstance(finding, NotReady):
                self.since = finding.since

        async def answer(self, request: web.Request) -> web.StreamResponse:
            times.append(time.monotonic())
            return await super().answer(request)

    times: list[float] = []
    probes = Probes(readiness=probe(failures=3, period_s=0.05, jitter=0.0))
    scripted = Timed(address, probes, [200, 503, 503, 503])
    await scripted.run()
    assert times[0] < scripted.since < times[1]


async def test_what_is_asked_afresh_waits_for_the_question_under_way_and_asks_no_other(
    address: str,
) -> None:
    """Each question costs an engine a token."""
    under_way, answered, asked = asyncio.Event(), asyncio.Event(), []

    async def slow(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        under_way.set()
        await answered.wait()
        return web.Response(status=503)

    probes = Probes(readiness=probe(period_s=1000.0, jitter=0.0, failures=100))
    watch = Scripted(address, probes, []).watch
    async with serving(address, slow):
        watching = asyncio.create_task(watch.run())
        first = asyncio.create_task(watch.ask_afresh())
        await under_way.wait()
        second = asyncio.create_task(watch.ask_afresh())
        await asyncio.sleep(0)
        answered.set()
        answers = [(await each)[0] for each in (first, second)]
        watching.cancel()
        await asyncio.wait({watching})
    assert answers == [No(f"{address}:8000/health: HTTP 503")] * 2
    assert len(asked) == 1


METERED = Progress(port="http", counters=("tokens_total",))


@pytest.mark.parametrize("works", [0, 1])
async def test_a_unit_whose_counters_move_is_left_alone(address: str, works: int) -> None:
    alive = probe(failures=2, quiet_s=0.3)
    probes = Probes(liveness=alive, progress=METERED)
    scripted = Scripted(address, probes, [503] * 60, works=works)
    said = await scripted.run()
    assert said[0] == "ready"
    assert [word.startswith("dead") for word in said[1:]] == [] if works else [True]


async def test_output_shows_work_where_there_are_no_counters(address: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()

    class Talking(Scripted):
        async def answer(self, request: web.Request) -> web.StreamResponse:
            with log.open("a") as out:
                out.write(f"{self.line}\n")
            return await super().answer(request)

    alive = probe(failures=2, quiet_s=0.3)
    probes = Probes(liveness=alive, progress=Progress(noise=("GET /health",)))
    for line, dead in (("Decode batch", False), ('"GET /health" 503', True)):
        scripted = Talking(address, probes, [503] * 60, log=log)
        scripted.line = line
        said = await scripted.run()
        assert any(word.startswith("dead") for word in said) == dead


async def test_liveness_takes_the_answers_that_readiness_got(address: str) -> None:
    """Each question costs an engine a token."""
    same = probe(period_s=0.02, jitter=0.0)
    scripted = Scripted(address, Probes(readiness=same, liveness=same), [200] * 20)
    await scripted.run()
    kinds = [one.kind for one in scripted.watch.asked]
    assert kinds.count("liveness") > 5
    assert len(scripted.asked) < len(kinds)


async def test_a_unit_that_starts_tells_its_signs_of_life(address: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()

    class Writing(Scripted):
        async def answer(self, request: web.Request) -> web.StreamResponse:
            with log.open("a") as out:
                out.write("Loading shards\n")
            return await super().answer(request)

        def hear(self, finding: Finding) -> None:
            super().hear(finding)
            if isinstance(finding, Loading):
                self.script = iter([])

    startup = probe(deadline_s=1.0, limit_s=10.0, quiet_s=0.05)
    scripted = Writing(address, Probes(startup=startup), [503] * 10_000, log=log)
    assert "loading" in await scripted.run()


class Filling(GpuReadings):
    """The GPU of one process, whose memory grows at each look."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.pid, self.looks = pid, 0

    async def holders(self, *, kept_s: float = 0.0) -> tuple[Holder, ...]:
        self.looks += 1
        return (Holder(3, self.pid, self.looks << 20),)


@pytest.fixture
def idle() -> Iterator[int]:
    """The pid of a process that does nothing."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.processes
async def test_a_unit_that_fills_its_gpus_in_silence_gets_on_until_it_is_ready(
    address: str, idle: int
) -> None:
    meter, looks = Filling(idle), 0

    class Filled(Scripted):
        def hear(self, finding: Finding) -> None:
            nonlocal looks
            super().hear(finding)
            match finding:
                case Loading():
                    self.script = iter([200, 503, 503, 503])
                case Ready():
                    looks = meter.looks

    startup = probe(deadline_s=1000.0, limit_s=2000.0, quiet_s=0.05)
    probes, given = Probes(startup=startup, readiness=probe()), {"meter": meter, "gpus": (3,)}
    said = await Filled(address, probes, [503] * 10_000, pid=idle, **given).run()
    assert said.index("loading") < said.index("ready")
    assert meter.looks == looks
