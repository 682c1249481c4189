"""Runs one unit: feeds its events to the lifecycle, one at a time, and performs the effects."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from dataclasses import dataclass, replace

from pdsup import clock
from pdsup.errors import SupervisorError
from pdsup.node.assignment import RUN_VARIABLE, AssignedUnit
from pdsup.plan import difference
from pdsup.units import events, lifecycle, states
from pdsup.units.cause import CauseSearch
from pdsup.units.facts import Facts, LastExit, Transition
from pdsup.units.ledger import LedgerFile, Note
from pdsup.units.logs.files import Place
from pdsup.units.logs.output import Output
from pdsup.units.probes.check import Subject
from pdsup.units.probes.watch import Prober
from pdsup.units.process import proc, reap
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.guardian_link import UNSEEN, GuardianLink
from pdsup.units.process.holders import CleanSlate, cause
from pdsup.units.process.reap import Reaper
from pdsup.units.process.spawn import Process, Spawner
from pdsup.units.process.tree import Identity, Trace
from pdsup.units.run import Monitor, Patron, UnitHost
from pdsup.units.states import FOREVER

# A tree that is not gone this long after its main process makes the unit UNHEALTHY meanwhile.
SETTLE_S = 0.2


@dataclass(frozen=True, slots=True)
class Host:
    """The doers every runner of a node shares."""

    spawner: Spawner
    reaper: Reaper
    prober: Prober
    coroner: CauseSearch
    bookkeeper: LedgerFile
    messenger: GuardianLink
    tasks: asyncio.TaskGroup
    cluster: str


class Runner:
    """One unit, from the first start to the end of the agent."""

    def __init__(self, unit: AssignedUnit, host: Host, hooks: UnitHost) -> None:
        self.unit = unit
        self.facts = Facts(states.Stopped(), None, 0, clock.wall(), None, "", None)
        self._host = host
        self._hooks = hooks
        self._inbox: asyncio.Queue[events.Event] = asyncio.Queue()
        self._process: Process | None = None
        self.monitor: Monitor | None = None
        self._main: Identity | None = None
        self._tag: int | None = None
        self._taken_over = False
        self._probing: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._proving: asyncio.Task[None] | None = None
        # Nodes that share this machine share its GPUs too, most often with a stand-in for engines.
        gpus = unit.plan.gpus if unit.bind == "any" else ()
        self._inspector = CleanSlate(unit.address, unit.bind, unit.plan.ports, gpus)
        self._oom_kills = 0
        self._fingerprint = difference.fingerprint(unit.plan)
        self._was_ready, self.made = False, ""
        self._log: Place | None = None
        self.recorder = Output(unit, self._log_told)
        self._given_up = False

    def restore(self, note: Note) -> None:
        """Takes in what an agent that is gone knew; ``resume`` goes on with it."""
        self.facts = note.facts
        self._main, self._tag, self._taken_over = note.main, note.tag, True
        self._log, self._was_ready, self.made = note.log, note.was_ready, note.made

    def resume(self) -> None:
        """Goes on where ``restore`` left it: watches what runs, and does what was left undone."""
        state = self.facts.state
        run = states.run_of(state)
        if run is None:
            return
        self.recorder.resume(self._log)
        ended = self._main is not None and self.facts.pid is None
        self._main = self._main or proc.main_of(self._tag)
        if self._main is None:
            # Noted before it is done: it was not done.
            self.recorder.end()
            undone = isinstance(state, states.Starting)
            self._spawn(run) if undone else self.tell(events.Exited(run, UNSEEN))
        elif ended and self.facts.last_exit is not None:
            self._prove_end_soon(run, self.facts.last_exit.status)
        else:
            self._take_over(run, self._main)

    def _take_over(self, run: int, main: Identity) -> None:
        def ask_how() -> None:
            self._host.messenger.when_known(main, lambda how: self._main_ended(run, how))

        self.facts = replace(self.facts, pid=main[0], run=run)
        self._oom_kills = self._host.coroner.oom_kills()
        try:
            self._process = self._host.spawner.take_over(main, self._tag, ask_how)
        except ProcessLookupError:
            ask_how()
            return
        self._write()
        match self.facts.state:
            case states.Starting():
                self._begin_probing(run, self._process)
                self.tell(events.Progressed(run))  # it may have, with nobody to see it
            case states.Running():
                self._begin_probing(run, self._process, ready=True)
            case states.Unhealthy():
                self._begin_probing(run, self._process, ready=False)
            case states.Draining():
                self._perform(events.Drain(run))
            case states.Stopping(kills=kills):
                self._perform(events.Kill(run) if kills else events.Terminate(run))

    @property
    def is_as_planned(self) -> bool:
        """Whether its last run was started as the plan has it now."""
        return self.made == self._fingerprint

    @property
    def outdated(self) -> bool:
        """Whether its last run was started by an earlier plan that made it otherwise."""
        return self.made not in ("", self._fingerprint)

    def tell(self, event: events.Event) -> None:
        """Puts an event into the inbox; it is dealt with after those before it."""
        self._inbox.put_nowait(event)

    def signal(self, number: int) -> bool:
        """Signals the main process (0 only asks); False when there is none."""
        return self._process is not None and self._process.send(number)

    async def serve(self) -> None:
        """Deals with events and deadlines until cancelled."""
        try:
            while True:
                await self._take(await self._next_event())
        finally:
            self._given_up = True
            for task in (self._probing, self._draining, self._proving):
                if task is not None:
                    task.cancel()

    async def _next_event(self) -> events.Event:
        until = states.deadline(self.facts.state)
        if until <= clock.monotonic():
            await asyncio.sleep(0)  # a unit whose restarts have no delay leaves others their turn
            return events.Tick() if self._inbox.empty() else self._inbox.get_nowait()
        if until == FOREVER:
            return await self._inbox.get()
        try:
            async with asyncio.timeout(until - clock.monotonic()):
                return await self._inbox.get()
        except TimeoutError:
            return events.Tick()

    async def _take(self, event: events.Event) -> None:
        before = self.facts.state
        context = self._context()
        after, effects = lifecycle.step(before, event, context)
        if any(isinstance(effect, events.Spawn) for effect in effects):
            unclean = await self._inspector.look()
            if unclean is not None:
                context = replace(self._context(), unclean=unclean)
                after, effects = lifecycle.step(before, event, context)
        if any(isinstance(effect, events.Spawn) for effect in effects):
            self._main, self._tag = None, self._host.spawner.next_tag()
            self.made = self._fingerprint
        if after != before:
            self._remember(Transition(self.unit.name, event, before, after, context))
        for effect in effects:
            self._perform(effect)

    def _context(self) -> lifecycle.Context:
        startup = self.unit.plan.probes.startup
        return lifecycle.Context(
            now=clock.monotonic(),
            next_run=self.facts.run + 1,
            gate=self._hooks.gate(self.unit.name, first=self.facts.run == 0),
            restart=self.unit.plan.restart,
            ready_within=(startup and startup.deadline_s) or FOREVER,
            ready_at_most=(startup and startup.limit_s) or FOREVER,
            quiet_within=(startup and startup.quiet_s) or 0.0,
            stop_within=self.unit.plan.stop.timeout_s,
            drain_within=self._drain_within(),
            chance=random.random(),  # noqa: S311 (jitter, no secret)
        )

    def _drain_within(self) -> float:
        stop = self.unit.plan.stop
        return stop.drain_timeout_s if stop.drain else self._hooks.drain_within(self.unit.name)

    def _remember(self, transition: Transition) -> None:
        self._was_ready |= isinstance(transition.after, states.Running)
        if not states.is_news(transition.before, transition.after):
            self.facts = replace(self.facts, state=transition.after)
            return
        same_word = states.public(transition.before) == states.public(transition.after)
        since = self.facts.since if same_word else clock.wall()
        self.facts = replace(self.facts, state=transition.after, since=since, detail="")
        self._write()
        self._hooks.changed(self.unit.name, transition)

    def _write(self) -> None:
        """Before anything is done that follows from it, so that another agent could go on."""
        facts = self.facts
        note = Note(
            unit=self.unit.name,
            state=facts.state,
            run=facts.run,
            since=facts.since,
            spawned=facts.started,
            main=self._main,
            tag=self._tag,
            log=self._log,
            ended=self._main is not None and facts.pid is None,
            was_ready=self._was_ready,
            last_exit=facts.last_exit,
            made=self.made,
        )
        self._host.bookkeeper.note(note)

    def _perform(self, effect: events.Effect) -> None:
        match effect:
            case events.Spawn(run):
                self._spawn(run)
            case events.Drain(run):
                self._draining = self._host.tasks.create_task(self._drain(run))
            case events.Terminate():
                if self._draining is not None:
                    self._draining.cancel()
                # To an engine that ends its last requests, a question is one request more.
                self._stop_probing()
                self.signal(signal.Signals[f"SIG{self.unit.plan.stop.signal}"])
            case events.Kill():
                if self._process is not None:
                    self._host.reaper.kill_tree(self._process.pid)

    def _spawn(self, run: int) -> None:
        try:
            self._hooks.before_spawn(self.unit.name)
            process = self._process = self._start_process(run)
        except (OSError, SupervisorError) as error:
            why = cause(error) if isinstance(error, OSError) else str(error)
            self.tell(events.SpawnFailed(run, why))
            return
        self._main, self._taken_over = (process.pid, proc.started(process.pid) or 0), False
        self.facts = replace(self.facts, pid=process.pid, run=run, started=clock.monotonic())
        self._write()
        self._hooks.changed(self.unit.name, None)
        self._begin_probing(run, process)

    def _begin_probing(self, run: int, process: Process, *, ready: bool | None = None) -> None:
        self.monitor = self._monitor(run, process, ready)
        self._probing = self._host.tasks.create_task(self.monitor.run())

    def _start_process(self, run: int) -> Process:
        previous = str(self.facts.last_exit.status) if self.facts.last_exit else ""
        output = self.recorder.begin(run, previous)
        self._log = self.recorder.begun
        self._oom_kills = self._host.coroner.oom_kills()
        try:
            return self._host.spawner.spawn(
                self.unit.command,
                {**self.unit.env, RUN_VARIABLE: self._mark(run)},
                output,
                lambda status: self._main_ended(run, status),
                self._tag,
                spared=self.unit.spared,
            )
        except OSError:
            self.recorder.end()
            raise
        finally:
            os.close(output)

    async def _drain(self, run: int) -> None:
        """Whatever the command says: the unit ends, and what it told stands in the unit's log."""
        stop = self.unit.plan.stop
        try:
            await self._hooks.drain(self.unit.name)
            if stop.drain:
                with self.recorder.output() as output:
                    await self._host.spawner.run(
                        stop.drain, self.unit.env, output, stop.drain_timeout_s
                    )
        except (OSError, TimeoutError):
            pass
        finally:
            self.tell(events.Drained(run))

    def _mark(self, run: int) -> str:
        return f"{self._host.cluster}/{self.unit.name}/{run}"

    def _monitor(self, run: int, process: Process, ready: bool | None) -> Monitor:
        unit = self.unit
        subject = Subject(
            probes=unit.plan.probes,
            address=unit.asked_at,
            ports=unit.plan.ports,
            pid=process.pid,
            env={**unit.env, RUN_VARIABLE: self._mark(run)},
            log_path=unit.log_path,
            log_start=self.recorder.start,
            gpus=unit.plan.gpus,
        )
        patron = Patron(
            tell=self.tell,
            is_starting=lambda: isinstance(self.facts.state, states.Starting),
            news=self._say,
            examine=lambda reason: self._hooks.examine(self.unit.name, reason),
        )
        return Monitor(run, subject, self._host.prober, patron, ready=ready)

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.cancel()

    def _say(self, detail: str) -> None:
        """Shows how a unit that starts gets on."""
        self._show(replace(self.facts, detail=detail))

    def _log_told(self, problem: str) -> None:
        self._show(replace(self.facts, log_problem=problem))

    def _show(self, facts: Facts) -> None:
        if facts != self.facts:
            self.facts = facts
            self._hooks.changed(self.unit.name, None)

    def _main_ended(self, run: int, status: ExitStatus) -> None:
        self._process = None
        self._stop_probing()
        self.monitor = None
        last = LastExit(status, clock.wall())
        self.facts = replace(self.facts, pid=None, started=None, last_exit=last)
        if not self._given_up:  # else the agent itself is at its end
            self._write()
            self._prove_end_soon(run, status)

    def _prove_end_soon(self, run: int, status: ExitStatus) -> None:
        if self._main is None:
            raise AssertionError(f"{self.unit.name} run {run} ended before it began")
        trace = Trace(self._mark(run), self._main[0], self._tag, anywhere=self._taken_over)
        self._proving = self._host.tasks.create_task(self._prove_end(run, trace, status))

    async def _prove_end(self, run: int, trace: Trace, status: ExitStatus) -> None:
        within = SETTLE_S
        while survivors := await self._host.reaper.end(trace, within):
            pids = ", ".join(str(pid) for pid in survivors)
            detail = f"main process {status}, yet alive after SIGKILL (state D in ps?): pid {pids}"
            self.tell(events.Lingering(run, detail))
            within = reap.PROOF_S
        self.recorder.end()
        if isinstance(self.facts.state, states.Stopping):  # then it is known why
            self.tell(events.Exited(run, status))
            return
        found = self._host.coroner.examine(
            status, self.unit.log_path, self.recorder.start, self._oom_kills
        )
        # A command that has worked once is not wrong: what it needs may come back.
        hopeless = found.hopeless and not self._was_ready
        self.tell(events.Exited(run, status, found.cause, hopeless, found.last_words))
