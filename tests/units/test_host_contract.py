"""What a unit needs of its host, the same of the fake that many tests use and of the real one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from pdsup.node.assignment import AssignedUnit
from pdsup.plan.model import PlanUnit, Restart
from pdsup.units import events, states
from pdsup.units.host import Host
from pdsup.units.ledger import read
from pdsup.units.process import proc
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.tree import Trace
from pdsup.units.runner import Runner
from tests.bed.hosts import FakeUnitHost, fake_host, real_host

LIMIT_S = 60.0
SLEEP = ("sleep", "1000")
ENV = {"PATH": os.environ["PATH"]}
Hosts = Callable[[], AbstractAsyncContextManager[Host]]


async def a_turn() -> None:
    """The loop looks at its descriptors once."""
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.processes)])
def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> Hosts:
    @contextlib.asynccontextmanager
    async def made() -> AsyncIterator[Host]:
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
            host = {"fake": fake_host, "real": real_host}[request.param](tasks, tmp_path)
            try:
                yield host
            finally:
                for pid in list(host.spawner.pids):
                    host.reaper.kill_tree(pid)
                while host.spawner.pids:
                    await a_turn()

    return made


@contextlib.contextmanager
def nowhere() -> Iterator[int]:
    """A descriptor for output that nobody reads."""
    with Path(os.devnull).open("wb") as output:
        yield output.fileno()


class Child:
    """One process of a host, and how it ended."""

    def __init__(self, host: Host, *command: str) -> None:
        self.host = host
        self.ends: list[ExitStatus] = []
        self.known: list[bool] = []  # at each end, whether the spawner still knew the pid
        self._ended = asyncio.Event()
        with nowhere() as output:
            self.process = host.spawner.spawn(
                command or SLEEP, ENV, output, self._end, host.spawner.next_tag()
            )

    def _end(self, status: ExitStatus) -> None:
        self.ends.append(status)
        self.known.append(self.process.pid in self.host.spawner.pids)
        self._ended.set()

    async def end(self) -> ExitStatus:
        await self._ended.wait()
        return self.ends[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL])
async def test_a_process_ends_at_a_signal_and_its_end_is_told_once_and_not_at_once(hosts, number):
    async with hosts() as host:
        child = Child(host)
        assert child.process.send(number)
        assert child.ends == []
        assert await child.end() == ExitStatus(None, number.name)
        await a_turn()
        assert len(child.ends) == 1


async def test_signal_0_only_asks_whether_a_process_lives(hosts):
    async with hosts() as host:
        child = Child(host)
        assert child.process.send(0)
        await a_turn()
        assert child.ends == []


async def test_a_spawner_knows_its_processes_until_just_before_their_end_is_told(hosts):
    async with hosts() as host:
        children = [Child(host), Child(host)]
        assert host.spawner.pids == {child.process.pid for child in children}
        assert len(host.spawner.pids) == 2
        for child in children:
            child.process.send(signal.SIGKILL)
            await child.end()
        assert [child.known for child in children] == [[False], [False]]
        assert host.spawner.pids == set()


async def test_processes_carry_tags_of_their_own(hosts):
    async with hosts() as host:
        assert len({Child(host).process.tag for _ in range(3)}) == 3


async def test_a_process_of_another_spawner_is_taken_over_and_its_end_is_told_once(hosts):
    async with hosts() as first, hosts() as host:
        child, ends, ended = Child(first), [], asyncio.Event()

        def end() -> None:
            ends.append(child.process.pid in host.spawner.pids)
            ended.set()

        identity = child.process.pid, proc.started(child.process.pid) or 0
        taken = host.spawner.take_over(identity, child.process.tag, end)
        assert (taken.pid, taken.tag) == (child.process.pid, child.process.tag)
        assert host.spawner.pids == {taken.pid}
        assert taken.send(signal.SIGTERM)
        assert ends == []
        await ended.wait()
        await a_turn()
        assert ends == [False]


async def test_a_program_that_is_not_there_cannot_be_started(hosts):
    async with hosts() as host:
        with pytest.raises(FileNotFoundError) as refused:
            Child(host, "/nowhere/engine")
        assert (refused.value.filename, host.spawner.pids) == ("/nowhere/engine", set())
        assert refused.value.strerror == "No such file or directory"


async def test_a_short_command_that_succeeds_gives_no_complaint(hosts):
    async with hosts() as host:
        with nowhere() as output:
            assert await host.spawner.run(("true",), ENV, output, 30) == ExitStatus(0)
        assert await host.spawner.complaint(("true",), 30) is None


async def test_a_tree_is_killed_by_its_main_process_and_nothing_else_is(hosts):
    async with hosts() as host:
        doomed, other = Child(host), Child(host)
        host.reaper.kill_tree(doomed.process.pid)
        assert await doomed.end() == ExitStatus(None, "SIGKILL")
        host.reaper.kill_tree(doomed.process.pid)
        assert other.process.send(0)
        assert other.ends == []


async def test_nothing_is_left_of_a_run_whose_only_process_has_ended(hosts):
    async with hosts() as host:
        child = Child(host)
        child.process.send(signal.SIGTERM)
        await child.end()
        trace = Trace("test/unit/1", child.process.pid, child.process.tag)
        assert await host.reaper.end(trace, 1.0) == []


# -- a runner on it -------------------------------------------------------------------------------


class Life:
    """A runner that is served; ``seen`` is what it told of itself."""

    def __init__(self, host: Host, tmp_path: Path, *command: str, **plan: object) -> None:
        planned = PlanUnit(
            name="unit", kind="service", node="node0", command=command or SLEEP, **plan
        )
        unit = AssignedUnit(
            plan=planned, command=planned.command, env=ENV, log_path=str(tmp_path / "log"),
            pipe_path=str(tmp_path / "pipe"), address="127.0.0.1", bind="address",
        )  # fmt: skip
        self.around = FakeUnitHost(self._changed)
        self.runner = Runner(unit, host)
        self.serving = host.tasks.create_task(self.runner.serve(self.around))
        self._news = asyncio.Event()

    def _changed(self, *_: object) -> None:
        self._news.set()

    async def reaches(self, state: str) -> None:
        while states.public(self.runner.facts.state) != state:
            self._news.clear()
            await self._news.wait()

    @property
    def seen(self) -> list[tuple[str, str]]:
        steps = self.around.steps
        return [(type(step.event).__name__, states.public(step.after)) for step in steps]


@pytest.fixture
def life(hosts: Hosts, tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Life]]:
    @contextlib.asynccontextmanager
    async def made(*command: str, **plan: object) -> AsyncIterator[Life]:
        async with hosts() as host:
            it = Life(host, tmp_path, *command, **plan)
            try:
                yield it
            finally:
                it.serving.cancel()

    return made


async def test_a_step_of_the_wall_clock_changes_no_age(life, tmp_path):
    async with life() as it:
        it.runner.tell(events.Start())
        await it.reaches("RUNNING")
        since = it.runner.facts.since
        it._news.clear()
        it.runner.clock_set(-3600.0)
        assert it._news.is_set()
        assert it.runner.facts.since == since - 3600
        assert read(tmp_path).notes["unit"].since == since - 3600
        it.runner.tell(events.Stop())
        await it.reaches("STOPPED")
        at = it.runner.facts.last_exit.at
        it.runner.clock_set(60.0)
        assert it.runner.facts.last_exit.at == at + 60


async def test_a_unit_starts_runs_and_stops(life, tmp_path):
    async with life() as it:
        it.runner.tell(events.Start())
        await it.reaches("RUNNING")
        assert it.runner.signal(0)
        assert it.runner.watch is not None
        facts = it.runner.facts
        assert (facts.pid in it.runner._host.spawner.pids, facts.run) == (True, 1)
        it.runner.tell(events.Stop())
        await it.reaches("STOPPED")
        assert it.seen == [
            ("Start", "STARTING"), ("BecameReady", "RUNNING"), ("Stop", "STOPPING"),
            ("Exited", "STOPPED"),
        ]  # fmt: skip
        facts = it.runner.facts
        assert (facts.pid, facts.last_exit.status) == (None, ExitStatus(None, "SIGTERM"))
        assert (it.runner.signal(0), it.runner.watch) == (False, None)
        assert read(tmp_path).notes["unit"].facts.last_exit == facts.last_exit


async def test_a_unit_that_is_killed_starts_again(life):
    async with life(restart=Restart(first_delay_s=0.001)) as it:
        it.runner.tell(events.Start())
        await it.reaches("RUNNING")
        it.runner.signal(signal.SIGKILL)
        await it.reaches("BACKOFF")
        await it.reaches("RUNNING")
        assert it.runner.facts.run == 2
        assert it.seen[2] == ("Exited", "BACKOFF")
        assert states.reason_of(it.around.steps[2].after) == "killed by SIGKILL"


async def test_a_unit_whose_program_is_missing_is_refused(life):
    async with life("/nowhere/engine") as it:
        it.runner.tell(events.Start())
        await it.reaches("FATAL")
        assert it.seen == [("Start", "STARTING"), ("SpawnFailed", "FATAL")]
        assert "cannot start: /nowhere/engine: No such file" in states.reason_of(
            it.runner.facts.state
        )


@pytest.mark.parametrize("made", ["now", "then"])
async def test_only_a_command_that_has_worked_itself_is_tried_again(life, made):
    async with life("/nowhere/engine") as it:
        it.runner._was_ready = True
        it.runner.fingerprint = it.runner._planned if made == "now" else "then"
        it.runner.tell(events.Start())
        await it.reaches("BACKOFF" if made == "now" else "FATAL")


async def test_a_unit_waits_for_its_gate_without_a_process(life):
    async with life() as it:
        it.around.gates["unit"] = "waits for etcd"
        it.runner.tell(events.Start())
        await it.reaches("WAITING")
        assert (it.runner.facts.pid, it.runner._host.spawner.pids) == (None, set())
        it.around.gates.clear()
        it.runner.tell(events.GateChanged())
        await it.reaches("RUNNING")
