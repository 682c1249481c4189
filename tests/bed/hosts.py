"""What runners need around them: a host that starts processes, and one that starts none.

On the fake host runners, ledger, outputs and probes are real. ``units/test_host_contract.py`` and
``agent/test_unit_host_contract.py`` hold the fakes to what the real parts do.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from pdsup import clock
from pdsup.errors import SupervisorError
from pdsup.journal import entry
from pdsup.node.assignment import AssignedUnit, Assignment, Place, assign
from pdsup.plan.model import Plan, Restart
from pdsup.units import events, states
from pdsup.units.cause import CauseSearch
from pdsup.units.facts import Line, Transition
from pdsup.units.host import Host
from pdsup.units.ledger import Ledger, LedgerFile
from pdsup.units.process.defects import Defects
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.guardian_link import GuardianLink
from pdsup.units.process.nvml import GpuReadings
from pdsup.units.process.reap import Reaper
from pdsup.units.process.spawn import Spawner
from pdsup.units.runner import Runner

# More turns of the loop than anything takes that waits for no time to pass.
TURNS = 60
FIRST_PID = 1 << 22  # the largest that Linux gives is one less


class FakeProcess:
    """A process that ends at a signal, unless it is ``deaf``, or as the test says."""

    def __init__(self, command, tag, pid, on_end, *, deaf=False) -> None:
        self.command, self.tag, self.pid, self.deaf = command, tag, pid, deaf
        self.sent: list[int] = []
        self._on_end = on_end
        self._ended = False

    def send(self, number: int) -> bool:
        if self._ended:
            return False
        if number:
            self.sent.append(number)
        if number and not self.deaf:
            self.end(ExitStatus(None, signal.Signals(number).name))
        return True

    def end(self, status: ExitStatus) -> None:
        """Ends it; whoever started it hears of it soon, and once."""
        if not self._ended:
            self._ended = True
            asyncio.get_running_loop().call_soon(self._on_end, self, status)


class FakeSpawner:
    """Starts nothing. ``deaf``: the programs whose processes survive even SIGKILL."""

    def __init__(self) -> None:
        self.pids: set[int] = set()
        self.processes: list[FakeProcess] = []
        self.deaf: set[str] = set()
        self._tags, self._numbers = itertools.count(1), itertools.count(FIRST_PID)

    def spawn(
        self, command, env, output, on_exit, tag=None, stdin=None, spared=(), on_halt=None
    ) -> FakeProcess:
        if "/" in command[0] and not Path(command[0]).exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])

        def ended(process: FakeProcess, status: ExitStatus) -> None:
            self.pids.discard(process.pid)
            on_exit(status)

        tag, deaf = tag or self.next_tag(), command[0] in self.deaf
        process = FakeProcess(command, tag, next(self._numbers), ended, deaf=deaf)
        self.processes.append(process)
        self.pids.add(process.pid)
        return process

    def next_tag(self) -> int:
        return next(self._tags)

    def take_over(self, process, tag, on_end) -> FakeProcess:
        """Whatever an earlier agent started is found alive."""

        def ended(process: FakeProcess, status: ExitStatus) -> None:
            self.pids.discard(process.pid)
            on_end()

        taken = FakeProcess((), tag, process[0], ended)
        self.processes.append(taken)
        self.pids.add(taken.pid)
        return taken

    async def run(self, command, env, output, within) -> ExitStatus:
        """A short command succeeds at once."""
        return ExitStatus(0)

    async def complaint(self, command, within) -> str | None:
        return None


class FakeReaper:
    """Finds nothing left of any run."""

    def __init__(self, spawner: FakeSpawner) -> None:
        self._spawner = spawner

    async def end(self, trace, within=0.0) -> list[int]:
        return []

    def kill_tree(self, main: int) -> None:
        for process in self._spawner.processes:
            if process.pid == main and main in self._spawner.pids:
                process.send(signal.SIGKILL)


class LoudDefects:
    """Contains nothing: a test sees a defect as what it is."""

    def contained(self, where):
        return contextlib.nullcontext()

    async def kept_up(self, where, work):
        await work()

    def tell(self, where, error):
        raise error


def line(step: Transition) -> Line:
    """What the journal would have about a step."""
    return entry.line(step, "node0", clock.wall())


def real_host(
    tasks: asyncio.TaskGroup, directory: Path, guardian: GuardianLink | None = None
) -> Host:
    """A host that starts processes; its ledger is in ``directory``."""
    spawner, guardian = Spawner(), guardian or GuardianLink(None)
    return Host(
        spawner, Reaper(spawner, guardian), GpuReadings(), CauseSearch(),
        LedgerFile(str(directory), "", Ledger()), line, guardian, tasks, "test",
        LoudDefects(),
    )  # fmt: skip


def fake_host(tasks: asyncio.TaskGroup, directory: Path, defects: Defects | None = None) -> Host:
    """A host that starts nothing; its ledger is in ``directory``."""
    spawner = FakeSpawner()
    return Host(
        spawner, FakeReaper(spawner), GpuReadings(), CauseSearch(),
        LedgerFile(str(directory), "", Ledger()), line, GuardianLink(None), tasks, "test",
        defects or LoudDefects(),
    )  # fmt: skip


OnChange = Callable[[str, Transition | None], None]


class FakeUnitHost:
    """The agent around runners: gates and epochs as the test sets them, open without that.

    ``refusals``: why units must not be spawned. ``steps``: what it was told. ``on_change`` is
    called each time.
    """

    def __init__(self, on_change: OnChange = lambda unit, transition: None) -> None:
        self.gates: dict[str, str | None] = {}
        self.epochs: dict[str, int | None] = {}
        self.refusals: dict[str, SupervisorError | None] = {}
        self.steps: list[Transition] = []
        self.on_change = on_change

    def gate(self, unit: str, *, first: bool) -> str | None:
        return self.gates.get(unit)

    def epoch(self, unit: str) -> int | None:
        return self.epochs.get(unit)

    def before_spawn(self, unit: str) -> None:
        if (refusal := self.refusals.get(unit)) is not None:
            raise refusal

    def drain_within(self, unit: str) -> float:
        return 0.0

    async def drain(self, unit: str) -> None:
        pass

    def changed(
        self, unit: str, transition: Transition | None = None, line: Line | None = None
    ) -> None:
        if transition is not None:
            self.steps.append(transition)
        self.on_change(unit, transition)

    async def examine(self, unit: str, reason: str) -> str:
        return f"examined {unit}"


class FakeNode:
    """Real runners on a fake host. ``told``: the events that each got from outside of it."""

    def __init__(
        self,
        units: Iterable[AssignedUnit],
        tasks: asyncio.TaskGroup,
        directory: Path,
        on_change: OnChange = lambda unit, transition: None,
        defects: Defects | None = None,
    ) -> None:
        self.host = fake_host(tasks, directory, defects)
        self.around = FakeUnitHost(on_change)
        self.runners = {unit.name: Runner(unclaimed(unit), self.host) for unit in units}
        self.told: dict[str, list[events.Event]] = {name: [] for name in self.runners}
        for name, runner in self.runners.items():
            record(runner, self.told[name])
        self._tasks = tasks
        self._serving: list[asyncio.Task[None]] = []

    def serve(self) -> None:
        """Begins to serve the runners."""
        for runner in self.runners.values():
            self._serving.append(self._tasks.create_task(runner.serve(self.around)))

    async def close(self) -> None:
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def state(self, unit: str) -> str:
        """The public state."""
        return states.public(self.runners[unit].facts.state)

    async def up(self, *units: str) -> None:
        """Starts units, those without probes until they are RUNNING."""
        for unit in units:
            self.runners[unit].tell(events.Start())
        await settle()

    def process(self, unit: str) -> FakeProcess:
        """The living process of a unit."""
        pid = self.runners[unit].facts.pid
        processes = reversed(self.host.spawner.processes)
        return next(process for process in processes if process.pid == pid)

    async def reach(self, unit: str, state: str) -> None:
        """From RUNNING to another state; EXITED and FATAL need a plan by ``may_rest``."""
        runner = self.runners[unit]
        match state:
            case "STOPPED":
                runner.tell(events.Stop())
            case "WAITING":
                self.around.gates[unit] = "waits for etcd"
                runner.tell(events.Restart(""))
            case "EXITED":
                self.process(unit).end(ExitStatus(0))
            case "BACKOFF" | "FATAL":
                self.process(unit).end(ExitStatus(1))
        await settle()
        if self.state(unit) == "STOPPING":  # it is deaf
            await self.end(unit)
        assert self.state(unit) == state

    async def end(self, unit: str, code: int = 0) -> None:
        """The unit's process ends by itself."""
        self.process(unit).end(ExitStatus(code))
        await settle()


def assigned(plan: Plan, node: str, directory: Path, digest: str = "") -> Assignment:
    """The part of a plan for one node, all of whose files are in ``directory``."""
    place = Place(
        node=node, run_dir=str(directory), state_dir=str(directory / "state"),
        python=sys.executable, environ={}, has_module=lambda name: False,
    )  # fmt: skip
    return assign(plan, digest, place)


def unclaimed(unit: AssignedUnit) -> AssignedUnit:
    """A unit without the ports and GPUs that a real process of this machine may hold."""
    return replace(unit, plan=replace(unit.plan, ports={}, gpus=()))


def may_rest(plan: Plan, unit: str, state: str) -> Plan:
    """The plan with one unit that comes to this state when it exits for the first time."""
    restarts = {"EXITED": Restart(policy="never"), "FATAL": Restart(max_failures=0)}
    units = tuple(
        replace(one, restart=restarts.get(state, one.restart)) if one.name == unit else one
        for one in plan.units
    )
    return replace(plan, units=units)


ORDERS = (events.Start, events.Stop, events.Restart, events.Recycle, events.GateChanged)


def record(runner: Runner, told: list[events.Event]) -> None:
    """Notes in ``told`` what others tell a runner; what its own run tells is not noted."""
    tell = runner.tell

    def noted(event: events.Event) -> None:
        if isinstance(event, ORDERS):
            told.append(event)
        tell(event)

    runner.tell = noted


async def settle() -> None:
    """Lets everything happen that waits for no time to pass."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
