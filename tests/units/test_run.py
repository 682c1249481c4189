"""One run of a unit, as far as a test can drive it that is no child subreaper."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pdsup.node.assignment import AssignedUnit
from pdsup.plan.model import PlanUnit
from pdsup.units.logs.output import Output
from pdsup.units.process import proc
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.guardian_link import UNSEEN, GuardianLink
from pdsup.units.process.tree import Identity
from pdsup.units.run import Gone, MainEnded, News, Run
from tests.bed.hosts import real_host

LIMIT = 60.0


class SlowGuardian(GuardianLink):
    """Knows how a process ended, and takes until it is told to say so."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked = asyncio.Event()
        self.answer: Callable[[ExitStatus], None]

    def when_known(self, process: Identity, heard: Callable[[ExitStatus], None]) -> None:
        self.answer = heard
        self.asked.set()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that another agent could have started."""
    with subprocess.Popen(["sleep", "1000"]) as started:
        yield started
        started.kill()


@pytest.fixture
def unit(tmp_path: Path) -> AssignedUnit:
    planned = PlanUnit(name="unit", kind="service", node="node0", command=("sleep", "1000"))
    return AssignedUnit(
        plan=planned, command=planned.command, env={}, log_path=str(tmp_path / "log"),
        pipe_path=str(tmp_path / "pipe"), address="127.0.0.1", bind="address",
    )  # fmt: skip


@pytest.mark.processes
async def test_what_was_taken_over_is_not_signalled_between_its_end_and_the_word_how(
    unit: AssignedUnit, process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Its descriptor is closed by then, and the next one that is opened may have its number."""
    news: list[News] = []
    guardian = SlowGuardian()
    gone = asyncio.Event()

    def hear(run: Run, said: News) -> None:
        news.append(said)
        if isinstance(said, Gone):
            gone.set()

    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
        host = real_host(tasks, tmp_path, guardian)
        run = Run(1, None, unit, host, Output(unit, lambda problem: None), hear)
        main = process.pid, proc.started(process.pid) or 0
        run.restore(main, ended=False)
        assert run.take_over(main)
        assert run.signal(0)
        process.kill()
        await guardian.asked.wait()
        assert not run.signal(0)
        run.terminate()
        run.kill()
        assert news == []
        guardian.answer(UNSEEN)
        await gone.wait()
    assert news == [MainEnded(UNSEEN), Gone(UNSEEN)]
