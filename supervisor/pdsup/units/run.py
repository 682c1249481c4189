"""One run of a unit: its process, its probes, and the proof that nothing of it is left.

A run begins when a start is decided, before there is a process: its tag is noted first, so that
whatever is started can be found again. It is over when no process with its traces is left, which
may be long after its main process has ended. The run reports all of this to its runner.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pdsup.errors import SupervisorError, Unstartable
from pdsup.node.assignment import RUN_VARIABLE, AssignedUnit
from pdsup.threads import apart
from pdsup.units.cause import Diagnosis
from pdsup.units.host import Host
from pdsup.units.logs.output import Output
from pdsup.units.probes.check import Subject
from pdsup.units.probes.watch import Finding, Watch
from pdsup.units.process import proc, reap, refusal
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.spawn import Process
from pdsup.units.process.tree import Identity, Trace

# A tree that outlives its main process by this much makes the unit UNHEALTHY until it is gone.
SETTLE_S = 0.2


@dataclass(frozen=True, slots=True)
class MainEnded:
    """The main process has ended; other processes of the run may still live."""

    status: ExitStatus


@dataclass(frozen=True, slots=True)
class Survived:
    """The main process has ended, but other processes of the run have survived SIGKILL so far."""

    detail: str


@dataclass(frozen=True, slots=True)
class Gone:
    """Nothing of the run is left. ``status``: how its main process ended."""

    status: ExitStatus


News = Finding | MainEnded | Survived | Gone


class Run:
    """One run of a unit.

    ``unit``: what it was started from. ``tag``: the tag on all its processes. ``main``: its main
    process, None before there is one; ``ended``: whether that has ended. ``watch``: its probes,
    only while it lives. ``tell`` is called with the run's news.
    """

    def __init__(
        self,
        number: int,
        tag: int | None,
        unit: AssignedUnit,
        host: Host,
        output: Output,
        tell: Callable[[Run, News], None],
    ) -> None:
        self.number = number
        self.tag = tag
        self.main: Identity | None = None
        self.ended = False
        self.watch: Watch | None = None
        self.unit = unit
        self._host = host
        self._output = output
        self._tell = tell
        self._inherited = False
        self._mark = f"{host.cluster}/{unit.name}/{number}"
        self._env = {**unit.env, RUN_VARIABLE: self._mark}
        self._process: Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._proof: asyncio.Task[None] | None = None
        self._oom_kills = 0
        self._closed = False

    def spawn(self, previous: str) -> Identity:
        """Starts the process. ``previous``: how the run before it ended, for the log. Raises
        OSError for the log, SupervisorError for the process.
        """
        output = self._output.begin(self.number, previous)
        self._oom_kills = self._host.causes.oom_kills()
        try:
            process = self._process = self._host.spawner.spawn(
                self.unit.command,
                self._env,
                output,
                self._main_ended,
                self.tag,
                spared=self.unit.spared,
                on_halt=self._halted,
            )
        except OSError as error:
            self._output.end()
            why = refusal.why(error, self.unit.command, self._env)
            if refusal.lasts(error):
                raise Unstartable(why) from error
            raise SupervisorError(why) from error
        finally:
            os.close(output)
        self.main = process.pid, proc.started(process.pid) or 0
        self._inherited = False
        return self.main

    def restore(self, main: Identity | None, *, ended: bool) -> None:
        """Restores what an earlier agent knew about the run."""
        self.main, self.ended, self._inherited = main, ended, True

    def find(self) -> Identity | None:
        """Returns the main process if an earlier agent started one; it may have ended since."""
        self.main = self.main or proc.main_of(self.tag)
        return self.main

    def take_over(self, main: Identity) -> bool:
        """Adopts a process of an earlier agent. False if it has ended: ``MainEnded`` follows."""

        def ask_how() -> None:
            # Only the guardian knows the status, and its answer may take a while.
            self._process, self.watch = None, None
            self._cancel_tasks()
            self._host.guardian.when_known(main, self._main_ended)

        self._oom_kills = self._host.causes.oom_kills()
        try:
            self._process = self._host.spawner.take_over(main, self.tag, ask_how)
        except ProcessLookupError:
            ask_how()
        return self._process is not None

    def begin_watch(self, *, ready: bool | None = None) -> None:
        """Starts probing the run; ``ready`` as for ``Watch``."""
        if self.main is None:
            raise AssertionError(f"{self._mark} cannot be probed before it has started")
        unit = self.unit
        subject = Subject(
            probes=unit.plan.probes,
            address=unit.local_address,
            ports=unit.plan.ports,
            pid=self.main[0],
            env=self._env,
            log_path=unit.log_path,
            log_start=self._output.start,
            gpus=unit.plan.gpus,
        )
        host = self._host
        self.watch = Watch(subject, host.spawner, host.gpus, self._told, ready=ready)
        watch, where = self.watch, f"probes of {self._mark}"
        self.begin(lambda: host.defects.kept_up(where, watch.run))

    def begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does work that is cancelled when the main process ends or is sent its stop signal."""
        self._tasks.append(self._host.tasks.create_task(self._contained(work)))

    async def drain(self) -> None:
        """Runs the unit's drain command, if it has one; its output goes to the unit's log.

        Raises OSError or TimeoutError.
        """
        stop = self.unit.plan.stop
        if stop.drain:
            output = await apart(self._output.open, stop.drain_timeout_s)
            with contextlib.closing(output):
                env, within = self.unit.env, stop.drain_timeout_s
                await self._host.spawner.run(stop.drain, env, output.fileno(), within)

    def signal(self, number: int) -> bool:
        """Sends a signal to the main process (0 only checks); False if there is none."""
        return self._process is not None and self._process.send(number)

    def terminate(self) -> None:
        """Sends the main process its stop signal."""
        # Probes stop: to an engine that finishes its last requests they would be more requests.
        self._cancel_tasks()
        self.signal(signal.Signals[f"SIG{self.unit.plan.stop.signal}"])

    def kill(self) -> None:
        """Sends SIGKILL to the main process and its descendants."""
        if self._process is not None:
            self._host.reaper.kill_tree(self._process.pid)

    def prove_end(self, status: ExitStatus) -> None:
        """Kills what the main process has left behind; ``Gone`` follows when nothing is left."""
        if self.main is None:
            raise AssertionError(f"{self._mark} ended before it was started")
        trace = Trace(self._mark, self.main[0], self.tag, anywhere=self._inherited)
        self._proof = self._host.tasks.create_task(
            self._host.defects.kept_up(
                f"end of {self._mark}", lambda: self._prove_end(trace, status)
            )
        )

    def diagnose(self, status: ExitStatus) -> Diagnosis:
        """Diagnoses why the run ended."""
        path, start = self.unit.log_path, self._output.start
        noise = self.unit.plan.probes.progress.noise
        return self._host.causes.diagnose(status, path, start, self._oom_kills, noise)

    def close(self) -> None:
        """Ends the reports to the runner; the processes stay as they are."""
        self._closed = True
        self._cancel_tasks()
        if self._proof is not None:
            self._proof.cancel()

    async def _contained(self, work: Callable[[], Awaitable[None]]) -> None:
        with self._host.defects.contained(self._mark):
            await work()

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    def _halted(self) -> None:
        if self.watch is not None:
            self.watch.halted()

    def _told(self, finding: Finding) -> None:
        self._tell(self, finding)

    def _main_ended(self, status: ExitStatus) -> None:
        self._process, self.watch, self.ended = None, None, True
        self._cancel_tasks()
        if not self._closed:
            self._tell(self, MainEnded(status))
            self.prove_end(status)

    async def _prove_end(self, trace: Trace, status: ExitStatus) -> None:
        within = SETTLE_S
        while survivors := await self._host.reaper.end(trace, within):
            pids = ", ".join(str(pid) for pid in survivors)
            detail = f"main process {status}; these survive SIGKILL (state D in ps?): pid {pids}"
            self._tell(self, Survived(detail))
            within = reap.PROOF_S
        self._output.end()
        self._tell(self, Gone(status))
