"""Runs one unit: takes its events one at a time, asks the lifecycle, and performs the effects.

This is the shell around ``lifecycle.step``. The order within one event matters: a step is written
to the ledger before it is reported and before its effects are performed, so that an agent that is
killed in between leaves a successor enough to finish the job.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import replace
from typing import assert_never

from pdsup import clock
from pdsup.errors import SupervisorError, Unstartable
from pdsup.node.assignment import AssignedUnit
from pdsup.plan import difference
from pdsup.times import duration
from pdsup.units import events, lifecycle, states
from pdsup.units.cause import SentSignal, explained
from pdsup.units.facts import Facts, LastExit, Line, Note, Transition
from pdsup.units.host import Host, UnitHost
from pdsup.units.logs.output import Output
from pdsup.units.probes.health import Answer, No
from pdsup.units.probes.watch import Dead, Loading, NotReady, NotReadyYet, Ready, Watch
from pdsup.units.process.exit import ExitStatus
from pdsup.units.process.guardian_link import UNSEEN
from pdsup.units.process.holders import CleanSlate, cause
from pdsup.units.process.spawn import signal_name
from pdsup.units.process.tree import Identity
from pdsup.units.run import Gone, MainEnded, News, Run, Survived
from pdsup.units.states import FOREVER


class Runner:
    """One unit, from its first start to the end of the agent.

    ``fingerprint``: of the planned unit that its last run was started from; "": unknown.
    ``epoch``: the gang epoch in which its last run was started. The agent around it arrives with
    ``serve``, not earlier: it is itself built from the runners.
    """

    def __init__(self, unit: AssignedUnit, host: Host) -> None:
        self.unit = unit
        self.facts = Facts(states.Stopped(), None, 0, clock.wall(), None, "", None)
        self.fingerprint = ""
        self.epoch: int | None = None
        self.output = Output(unit, self._show_log_problem)
        # Cleared while a run that an earlier agent started is not yet taken over.
        self.settled = asyncio.Event()
        self.settled.set()
        self._host = host
        self._node: UnitHost
        self._inbox: asyncio.Queue[events.Event] = asyncio.Queue()
        self._run: Run | None = None
        self._inherited: Note | None = None
        # With ``pdsup up`` several nodes share this machine and its GPUs, so none is checked.
        gpus = unit.plan.gpus if unit.bind == "any" else ()
        self._slate = CleanSlate(unit.address, unit.bind, unit.plan.ports, gpus)
        self._planned = difference.fingerprint(unit.plan)
        self._was_ready = False
        self._sent: SentSignal | None = None

    @property
    def is_as_planned(self) -> bool:
        """Whether its last run was started from the current plan."""
        return self.fingerprint == self._planned

    @property
    def outdated(self) -> bool:
        """Whether its last run was started from an earlier plan in which the unit differed."""
        return self.fingerprint not in ("", self._planned)

    @property
    def current(self) -> AssignedUnit:
        """The unit as its run was started, or will be: after a change of the plan, a run still
        listens on the ports that it got at its start.
        """
        return self._run.unit if self._run else self.unit

    @property
    def watch(self) -> Watch | None:
        """The probes of its main process; None while there is none."""
        return self._run.watch if self._run else None

    async def ask_afresh(self, within: float) -> tuple[Answer, float] | None:
        """Asks the probes of a RUNNING unit once more (see ``Watch.ask_afresh``), which takes at
        most ``within`` seconds. None if it is not RUNNING.
        """
        watch, began = self.watch, clock.monotonic()
        if watch is None or not isinstance(self.facts.state, states.Running):
            return None
        try:
            async with asyncio.timeout(within):
                return await watch.ask_afresh()
        except TimeoutError:
            return No(f"no answer within {duration(within)}"), began

    def tell(self, event: events.Event) -> None:
        """Puts an event into the inbox."""
        self._inbox.put_nowait(event)

    def signal(self, number: int, by: str = "") -> bool:
        """Sends a signal to the main process (0 only checks); False if there is none.

        ``by``: who sends it, if somebody asked for it: it may be why the run ends.
        """
        run = self._run
        if run is None or not run.signal(number):
            return False
        if number and by:
            self._sent = SentSignal(run.number, signal_name(number), by, clock.monotonic())
        return True

    def clock_set(self, by: float) -> None:
        """Moves its times to where the wall clock shows them since it was set, by ``by`` seconds:
        the age of a state is a difference to its present time.
        """
        last = self.facts.last_exit
        last = last and replace(last, at=last.at + by)
        self.facts = replace(self.facts, since=self.facts.since + by, last_exit=last)
        self._write()
        self._report(None)

    # -- what an earlier agent left -----------------------------------------------------------

    def count_from(self, run: int) -> None:
        """Numbers its runs from the one after ``run``: no two runs in a journal share a number."""
        self.facts = replace(self.facts, run=run, before=run)

    def restore(self, note: Note) -> None:
        """Restores what an earlier agent knew; ``serve`` continues from there."""
        self.facts, self.fingerprint, self.epoch = note.facts, note.fingerprint, note.epoch
        self._was_ready, self._inherited = note.was_ready, note
        self.settled.clear()
        if (number := states.run_of(note.state)) is not None:
            known = self.outdated and note.ports and note.main
            unit = self.unit.listening_on(note.ports) if known else self.unit
            self._run = self._make_run(number, note.tag, unit)
            self._run.restore(note.main, ended=note.ended)

    def _resume(self) -> None:
        """Continues after ``restore``: adopts what runs, and finishes what was begun."""
        run, note = self._run, self._inherited
        if run is None or note is None:
            return
        self.output.resume(note.log, note.main[0] if note.main else None)
        main = run.find()
        if main is None:
            # A start is noted before the process exists: this one did not get that far.
            self.output.end()
            undone = isinstance(self.facts.state, states.Starting)
            self._spawn(run) if undone else self.tell(events.Exited(run.number, UNSEEN))
        elif run.ended and note.last_exit is not None:
            run.prove_end(note.last_exit.status)
        else:
            self._take_over(run, main)
        self._report()

    def _take_over(self, run: Run, main: Identity) -> None:
        self.facts = replace(self.facts, pid=main[0], run=run.number)
        if not run.take_over(main):
            return
        self._write()
        match self.facts.state:
            case states.Starting():
                run.begin_watch()
                # It may have made progress while no agent was there to see it.
                self.tell(events.Progressed(run.number))
            case states.Running():
                run.begin_watch(ready=True)
            case states.Unhealthy():
                run.begin_watch(ready=False)
            case states.Draining():
                self._perform(events.Drain(run.number), run)
            case states.Stopping(kills=kills):
                again = events.Kill if kills else events.Terminate
                self._perform(again(run.number), run)

    # -- inbox, step, effects -----------------------------------------------------------------

    async def serve(self, node: UnitHost) -> None:
        """Continues what an earlier agent left, then handles events until cancelled."""
        self._node = node
        try:
            defects, name = self._host.defects, self.unit.name
            with defects.contained(name):
                self._resume()
            self.settled.set()
            while True:
                await defects.kept_up(name, self._turn)
        finally:
            if self._run is not None:
                self._run.close()

    async def _turn(self) -> None:
        await self._take(await self._next_event())

    async def _next_event(self) -> events.Event:
        left = states.deadline(self.facts.state) - clock.monotonic()
        if left <= 0:
            await asyncio.sleep(0)  # a unit that restarts without delay must not starve the others
            return events.Tick() if self._inbox.empty() else self._inbox.get_nowait()
        if left == FOREVER:
            return await self._inbox.get()
        try:
            async with asyncio.timeout(left):
                return await self._inbox.get()
        except TimeoutError:
            return events.Tick()

    async def _take(self, event: events.Event) -> None:
        before, was, context = self.facts.state, self.facts.detail, self._context()
        after, effects = lifecycle.step(before, event, context)
        if _spawns(effects):
            # Only a start needs a clean node. The check takes a while, in which the rest of the
            # context may have changed.
            unclean = await self._slate.look()
            context = replace(self._context(), unclean=unclean and self._host.mask(unclean))
            after, effects = lifecycle.step(before, event, context)
        self._change_run(states.run_of(after), spawns=_spawns(effects))
        if after != before:
            self._remember(Transition(self.unit.name, event, before, after, context, was))
        for effect in effects:
            if self._run is None:
                raise AssertionError(f"{self.unit.name} has no run to perform {effect} on")
            self._perform(effect, self._run)

    def _context(self) -> lifecycle.Context:
        startup = self.unit.plan.probes.startup
        return lifecycle.Context(
            now=clock.monotonic(),
            next_run=self.facts.run + 1,
            gate=self._node.gate(self.unit.name, first=self.facts.never_ran),
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
        return stop.drain_timeout_s if stop.drain else self._node.drain_within(self.unit.name)

    def _change_run(self, number: int | None, *, spawns: bool) -> None:
        """Replaces the run before the step is noted: the tag must be noted before the process
        exists.
        """
        if self._run is not None and (number is None or spawns):
            self._run.close()
            self._run = None
        if number is not None and spawns:
            self._run = self._make_run(number, self._host.spawner.next_tag(), self.unit)
            # That an earlier command has worked says nothing about a changed one.
            self._was_ready &= not self.outdated
            self.fingerprint, self.epoch = self._planned, self._node.epoch(self.unit.name)

    def _make_run(self, number: int, tag: int | None, unit: AssignedUnit) -> Run:
        return Run(number, tag, unit, self._host, self.output, self._hear)

    def _remember(self, transition: Transition) -> None:
        self._was_ready |= isinstance(transition.after, states.Running)
        if not states.is_news(transition.before, transition.after):
            self.facts = replace(self.facts, state=transition.after)
            return
        same = states.public(transition.before) == states.public(transition.after)
        since = self.facts.since if same else clock.wall()
        self.facts = replace(self.facts, state=transition.after, since=since, detail="")
        line = None
        with self._host.defects.contained(f"the journal's line of {self.unit.name}"):
            line = self._host.line(transition)
        self._write(line)
        self._report(transition, line)

    def _report(self, transition: Transition | None = None, line: Line | None = None) -> None:
        """Tells the agent around it. What fails there must not keep effects from being performed:
        a unit without its process would wait for ever for the end of it.
        """
        with self._host.defects.contained(f"news of {self.unit.name}"):
            self._node.changed(self.unit.name, transition, line)

    def _write(self, line: Line | None = None) -> None:
        """Notes the unit in the ledger, before anything that follows from it is done."""
        facts, run = self.facts, self._run
        note = Note(
            unit=self.unit.name,
            state=facts.state,
            run=facts.run,
            since=facts.since,
            spawned=facts.started,
            main=run.main if run else None,
            tag=run.tag if run else None,
            log=self.output.begun,
            ended=run is not None and run.ended,
            was_ready=self._was_ready,
            last_exit=facts.last_exit,
            fingerprint=self.fingerprint,
            epoch=self.epoch,
            before=facts.before,
            ports=self.current.plan.ports,
            line=line,
        )
        self._host.ledger.note(note)

    def _perform(self, effect: events.Effect, run: Run) -> None:
        match effect:
            case events.Spawn():
                self._spawn(run)
            case events.Drain():
                run.begin(lambda: self._drain(run))
            case events.Terminate():
                run.terminate()
            case events.Kill():
                run.kill()
            case _:
                assert_never(effect)

    def _spawn(self, run: Run) -> None:
        last = self.facts.last_exit
        try:
            self._node.before_spawn(self.unit.name)
            pid, _ = run.spawn(str(last.status) if last else "")
        except Exception as error:
            if not isinstance(error, OSError | SupervisorError):
                self._host.defects.tell(f"start of {self.unit.name}", error)
            why = cause(error) if isinstance(error, OSError) else str(error)
            # A program that ran before is not wrong: what it lacks may come back.
            hopeless = isinstance(error, Unstartable) and not self._was_ready
            self.tell(events.SpawnFailed(run.number, self._host.mask(why), hopeless))
            return
        self.facts = replace(self.facts, pid=pid, run=run.number, started=clock.monotonic())
        self._write()
        self._report()
        run.begin_watch()

    async def _drain(self, run: Run) -> None:
        """Drains the unit; it stops even if that fails."""
        with contextlib.suppress(OSError, TimeoutError):
            await self._node.drain(self.unit.name)
            await run.drain()
        self.tell(events.Drained(run.number))

    # -- news from the run --------------------------------------------------------------------

    def _hear(self, run: Run, news: News) -> None:
        mask = self._host.mask
        match news:
            case Ready():
                self.tell(events.BecameReady(run.number))
            case NotReadyYet(detail):
                self._show(replace(self.facts, detail=f"not ready yet: {mask(detail)}"))
            case Loading():
                self.tell(events.Progressed(run.number))
            case NotReady(detail, since):
                self.tell(events.LostReadiness(run.number, mask(detail), since))
            case Dead(detail, since):
                shown = mask(detail)
                run.begin(lambda: self._examine(run, shown, since))
            case MainEnded(status):
                last = LastExit(status, clock.wall())
                self.facts = replace(self.facts, pid=None, started=None, last_exit=last)
                self._write()
            case Survived(detail):
                self.tell(events.Lingering(run.number, detail))
            case Gone(status):
                self.tell(self._exited(run, status))
            case _:
                assert_never(news)

    async def _examine(self, run: Run, detail: str, since: float) -> None:
        evidence = "no evidence: see the agent's log"
        with self._host.defects.contained(f"evidence of {self.unit.name}"):
            evidence = await self._node.examine(self.unit.name, detail)
        self.tell(events.FoundDead(run.number, f"{detail}; {evidence}", since))

    def _exited(self, run: Run, status: ExitStatus) -> events.Exited:
        if isinstance(self.facts.state, states.Stopping):  # the reason for the stop is the cause
            return events.Exited(run.number, status)
        found, now = run.diagnose(status), clock.monotonic()
        diagnosis = explained(found, status, run.number, self._sent, now)
        # A command that has worked before is not wrong: what it lacks may come back.
        hopeless = diagnosis.hopeless and not self._was_ready
        return events.Exited(run.number, status, diagnosis.cause, hopeless, diagnosis.last_words)

    def _show_log_problem(self, problem: str) -> None:
        self._show(replace(self.facts, log_problem=problem))

    def _show(self, facts: Facts) -> None:
        if facts != self.facts:
            self.facts = facts
            self._report()


def _spawns(effects: tuple[events.Effect, ...]) -> bool:
    return any(isinstance(effect, events.Spawn) for effect in effects)
