"""Whom the reaper looks at, and whom it kills; real trees are ended in ``tests/host``."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from pdsup.units.process import proc, reap
from pdsup.units.process.guardian_link import GuardianLink
from pdsup.units.process.reap import Reaper
from pdsup.units.process.spawn import Spawner
from pdsup.units.process.tree import Leftover, Trace

TRACE = Trace(mark="bench/decode-0/1", session=100, tag=None)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that no unit is related to."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def lives_on(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is not on its way out: a SIGKILL takes a moment."""
    try:
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        return True
    return False


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """In place of /proc, waitpid and kill."""
    fake = Kernel()
    monkeypatch.setattr(proc, "children", fake.children_of)
    monkeypatch.setattr(proc, "leftover", fake.looks.get)
    monkeypatch.setattr(reap, "kill_tree", fake.kill)
    monkeypatch.setattr(reap, "_reaped", lambda pid: pid in fake.dead)
    return fake


class Kernel:
    """Orphans that live until they are said to be dead."""

    def __init__(self) -> None:
        self.looks: dict[int, Leftover] = {}
        self.dead: set[int] = set()
        self.killed: list[int] = []
        self.readings = 0

    def children_of(self, _: int) -> list[int]:
        self.readings += 1
        return list(self.looks.keys() - self.dead)

    def kill(self, pid: int) -> list[tuple[int, int]]:
        self.killed.append(pid)
        return [(pid, self.looks[pid].started)]

    def add(self, pid: int, **shows) -> None:
        plain = {"started": 1, "session": 1, "tag": None, "mark": None}
        self.looks[pid] = Leftover(pid, **{**plain, **shows})


async def test_a_run_that_left_nothing_is_proven_gone_at_once(kernel: Kernel) -> None:
    kernel.add(7, mark="bench/decode-1/1")
    assert await Reaper(Spawner(), GuardianLink(None)).end(TRACE) == []
    assert kernel.killed == []


async def test_what_survives_is_named_and_the_others_are_not(kernel: Kernel) -> None:
    kernel.add(7, mark=TRACE.mark)
    kernel.add(8, mark="bench/decode-1/1")
    assert await Reaper(Spawner(), GuardianLink(None)).end(TRACE, 0.01) == [7]
    assert set(kernel.killed) == {7}


async def test_a_dying_process_that_shows_nothing_any_more_is_still_waited_for(
    kernel: Kernel,
) -> None:
    """A process loses its environment first, and may then free memory for seconds."""
    one = Reaper(Spawner(), GuardianLink(None))
    kernel.add(7, mark=TRACE.mark)
    assert await one.end(TRACE, 0.01) == [7]
    kernel.add(7)
    assert await one.end(TRACE, 0.01) == [7]
    kernel.dead.add(7)
    assert await one.end(TRACE, 0.01) == []


async def test_what_a_kill_hit_is_waited_for_although_it_never_showed_whose_it_is(
    kernel: Kernel,
) -> None:
    spawner = Spawner()
    spawner.pids.add(TRACE.session)
    one = Reaper(spawner, GuardianLink(None))
    kernel.add(TRACE.session)
    one.kill_tree(TRACE.session)
    spawner.pids.discard(TRACE.session)
    assert await one.end(TRACE, 0.01) == [TRACE.session]


async def test_another_process_with_the_pid_of_one_that_was_killed_is_left_alone(
    kernel: Kernel,
) -> None:
    one = Reaper(Spawner(), GuardianLink(None))
    kernel.add(7, mark=TRACE.mark)
    assert await one.end(TRACE, 0.01) == [7]
    await asyncio.sleep(0)
    kernel.killed.clear()
    kernel.add(7, started=2)
    assert await one.end(TRACE, 0.01) == []
    assert kernel.killed == []


async def test_many_runs_that_end_at_once_cost_one_look(kernel: Kernel) -> None:
    one = Reaper(Spawner(), GuardianLink(None))
    traces = [Trace(mark=f"bench/u{n}/1", session=n, tag=None) for n in range(100)]
    assert await asyncio.gather(*(one.end(trace) for trace in traces)) == [[]] * 100
    assert kernel.readings == 1


async def test_a_later_run_is_proven_by_a_later_look(kernel: Kernel) -> None:
    one = Reaper(Spawner(), GuardianLink(None))
    assert await one.end(TRACE) == []
    await asyncio.sleep(0)
    kernel.add(7, mark=TRACE.mark)
    assert await one.end(TRACE, 0.01) == [7]


async def test_many_signals_of_ended_children_cost_one_look(kernel: Kernel) -> None:
    one = Reaper(Spawner(), GuardianLink(None))
    for _ in range(100):
        one.sweep()
    await asyncio.sleep(0)
    assert kernel.readings == 1
    one.sweep()
    await asyncio.sleep(0)
    assert kernel.readings == 2


def test_the_tree_of_a_process_that_we_did_not_start_is_not_killed(
    stranger: subprocess.Popen[bytes],
) -> None:
    Reaper(Spawner(), GuardianLink(None)).kill_tree(stranger.pid)
    assert lives_on(stranger)


@pytest.fixture
def leading_stranger() -> Iterator[subprocess.Popen[bytes]]:
    """One that leads a session of two processes."""
    script = ["sh", "-c", "sleep 1000 & sleep 1000"]
    with subprocess.Popen(script, start_new_session=True) as process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.processes
@pytest.mark.parametrize("tag", [None, 2**40])
async def test_a_stranger_who_leads_a_session_with_the_pid_of_an_earlier_run_is_left_alone(
    leading_stranger: subprocess.Popen[bytes], tag: int | None
) -> None:
    trace = Trace("bench/decode-0/1", leading_stranger.pid, tag, anywhere=True)
    assert await Reaper(Spawner(), GuardianLink(None)).end(trace) == []
    assert lives_on(leading_stranger)


def test_a_pid_that_belongs_to_another_process_by_now_is_not_killed(
    stranger: subprocess.Popen[bytes],
) -> None:
    ((pid, started),) = proc.tree(stranger.pid)
    reap.kill((pid, started - 1))
    assert lives_on(stranger)
    reap.kill((pid, started))
    assert stranger.wait() == -signal.SIGKILL
    reap.kill((pid, started))  # gone: nothing to complain of
