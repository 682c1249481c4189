"""The agent of one node: runs its parts from start to end, and is their only interface to the API.

``parts.py`` describes the parts. An agent may start on a fresh node, or after a crash or handover
on one where units are running; it may be killed at any moment. Two things must never happen: a unit
runs twice, or a process outlives a regular end. So it opens the ledger before it touches a unit,
takes over what the ledger says is running, and starts only units that never ran. On a regular end
it stops its units in order and then kills whatever is left in its process tree; on a handover or a
crash it leaves all of them to its successor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from signal import Signals as Signal

from pdsup import clock
from pdsup.agent.commands import Command
from pdsup.agent.counters import Counts
from pdsup.agent.directories import Directories
from pdsup.agent.parts import Parts
from pdsup.agent.signals import Sender, Signals
from pdsup.answers.commands import UnitBefore
from pdsup.answers.status import LastCommand
from pdsup.cluster import ending_rules, peers
from pdsup.cluster.gate_rules import Decision, UnitPort
from pdsup.cluster.report import Peer, Report
from pdsup.front.nginx_conf import Reloads
from pdsup.journal import callers, requests
from pdsup.journal.requests import Caller, Verb
from pdsup.plan.compile.load import Loaded
from pdsup.plan.difference import Difference
from pdsup.plan.masks import Mask
from pdsup.units import events, takeover
from pdsup.units.facts import Facts
from pdsup.units.logs import output
from pdsup.units.probes.health import Answer
from pdsup.units.probes.watch import Watch
from pdsup.units.process.gpu import Gpu
from pdsup.units.process.guardian_link import BEGAN
from pdsup.units.process.reap import become_subreaper
from pdsup.units.process.spawn import close_inherited
from pdsup.units.public_state import PublicState


class Agent:
    """The agent of one node. Call ``run`` once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.assignment = parts.assignment
        self.plan = parts.assignment.plan
        self.node = parts.assignment.place.node
        self._directories: Directories | None = None

    def keep_directories(
        self, token: str, lock: int, listen: Callable[[], Awaitable[bool]]
    ) -> None:
        """Makes ``run`` restore what is removed from its directories (see ``Directories``)."""
        its = self._parts
        self._directories = Directories(
            its.assignment, token, lock, its.ledger, its.front, listen, its.log
        )

    # -- running ------------------------------------------------------------------------------

    async def run(self) -> int:
        """Runs the units until told to end, or until the run is over.

        Returns the exit status: that of a benchmark on this node if it is not 0, else 1 if any unit
        was FATAL.
        """
        its = self._parts
        close_inherited()
        become_subreaper()
        with self._hearing_signals():
            its.ledger.open()
            its.guardian.listen(self._lose_guardian)
            its.peers.follow(peers.followed(self.plan, self.node))
            serving: list[asyncio.Task[None]] = []
            try:
                journal_ended = await its.journal.ended_at()
                await self._count_from_journal()
                serving = self._serve()
                self._begin(journal_ended)
                await its.shutdown.wait()
                if self.leaves_units:
                    await its.hooks.finish()
                else:
                    await its.ending.end()
                    await asyncio.gather(its.ending.linger(), its.hooks.finish())
                    for task in serving:
                        task.cancel()
                    await self._leave_nothing()
            finally:
                for task in serving:
                    task.cancel()
                await its.reload.close()
                await its.evidence.close()
                await its.gates.close()
                await its.peers.close()
                await its.journal.close()
        fatal = its.counters.has_been(PublicState.FATAL)
        return ending_rules.status(its.own_report.units.values()) or (1 if fatal else 0)

    @property
    def leaves_units(self) -> bool:
        """Whether its units keep running after its end, for a successor that takes them over."""
        return self._parts.shutdown.leaves_units

    @contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        its = self._parts
        heard = Signals(
            self._end_on,
            its.ending.hurry,
            self._reload_on,
            its.reaper.sweep,
            self._ignore,
            its.guardian.pid,
        )
        heard.listen()
        try:
            yield
        finally:
            heard.close()

    def _end_on(self, number: Signal, sender: Sender | None) -> None:
        reason = self._record("shutdown", number, sender)
        self._parts.shutdown.begin(reason, of_cluster=False)

    def _reload_on(self, number: Signal, sender: Sender | None) -> None:
        self._record("reload", number, sender)
        self._parts.reload.hear()

    def _ignore(self, name: str, sender: Sender | None) -> None:
        pid = sender.pid if sender else None
        self._parts.log.warning(
            "ignored a signal: it means nothing to an agent", signal=name, pid=pid
        )

    def _record(self, verb: Verb, number: Signal, sender: Sender | None) -> str:
        """Writes to the journal what a signal asks for and who sent it; returns it as a reason."""
        pid, uid = (sender.pid, sender.uid) if sender else (0, None)
        caller = callers.caller(self.node, pid, uid)
        self.tell_request(verb, caller, signal=number.name)
        near = " (wall time is near)" if number == Signal.SIGUSR1 else ""
        return requests.text(verb, caller, f"{number.name}{near}")

    def _lose_guardian(self) -> None:
        self._parts.log.warning("the guardian was killed: if this agent dies, nothing restarts it")
        self._parts.own_report.lose_guardian()

    def _serve(self) -> list[asyncio.Task[None]]:
        its = self._parts
        outputs = [runner.output for runner in its.runners.values()]
        work: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("pulse", lambda: its.pulse.run(self._clock_set)),
            ("reactions", its.reactions.run),
            *((name, partial(runner.serve, its.host)) for name, runner in its.runners.items()),
            ("checks of logs", lambda: output.watch(outputs)),
            ("checks of GPUs", its.gpu_watch.run),
            ("hooks", its.hooks.run),
            *its.front.work(),
            *([("directories", self._directories.run)] if self._directories else []),
        ]
        keep_up = its.defects.kept_up
        return [its.tasks.create_task(keep_up(where, serve)) for where, serve in work]

    def _clock_set(self, by: float) -> None:
        self._parts.log.warning("the wall clock was set", seconds=round(by, 3))
        for runner in self._parts.runners.values():
            runner.clock_set(by)

    async def _count_from_journal(self) -> None:
        """Numbers the runs of units about which an earlier agent left only its journal."""
        its = self._parts
        if unknown := its.runners.keys() - its.inherited.notes.keys():
            numbers = await its.journal.last_runs()
            for name in unknown & numbers.keys():
                its.runners[name].count_from(numbers[name])

    def _begin(self, journal_ended: float) -> None:
        """Starts units that never ran. Runners take over running ones when they begin to serve.

        ``journal_ended``: the moment of the last line that an earlier agent wrote.
        """
        its = self._parts
        its.guardian.say(BEGAN)
        its.journal.begin()
        last = takeover.unreported(its.inherited, journal_ended)
        if last is not None:
            its.host.react_to(last.unit, last.state)
        for name, runner in its.runners.items():
            if name not in its.inherited.notes:
                runner.tell(events.Start())
        its.reload.resume(its.inherited.next)
        if its.inherited.ending is not None:
            reason, of_cluster = its.inherited.ending
            its.shutdown.begin(reason, of_cluster=of_cluster)
        its.due.set()

    async def _leave_nothing(self) -> None:
        """Kills every process left in this agent's tree: none may outlive a regular end."""
        if survivors := await self._parts.reaper.end_everything():
            self._parts.log.warning("processes survive SIGKILL (state D in ps?)", pids=survivors)
        for runner in self._parts.runners.values():
            runner.output.end()

    # -- commands -----------------------------------------------------------------------------

    def tell_request(self, verb: Verb, caller: Caller, *, signal: str = "") -> None:
        """Writes to the journal that somebody asked this node for something."""
        event = requests.event(verb, caller, clock.monotonic(), signal=signal)
        self._parts.journal.tell(event)

    def end(self, caller: Caller, *, of_cluster: bool) -> None:
        """Begins to stop this node's units, or those of all nodes."""
        self.tell_request("shutdown", caller)
        self._parts.shutdown.begin(requests.text("shutdown", caller), of_cluster=of_cluster)

    async def hand_over(self, caller: Caller) -> None:
        """Ends this agent but not its units. Raises SupervisorError if no successor could start."""
        await self._parts.hand_over.check()
        self.tell_request("reload", caller)
        self._parts.hand_over.begin()

    async def preview_plan(self, file: str | None) -> tuple[Loaded, Difference]:
        """See ``Reload.preview``."""
        return await self._parts.reload.preview(file)

    async def change_plan(self, file: str | None, caller: Caller) -> tuple[Loaded, Difference]:
        """See ``Reload.change``."""
        loaded, changes = await self._parts.reload.change(file)
        if loaded.digest != self.assignment.digest:
            self.tell_request("reload", caller)
        return loaded, changes

    def command(self, verb: Command, names: Sequence[str], caller: Caller) -> dict[str, UnitBefore]:
        """See ``Commands.command``."""
        return self._parts.commands.command(verb, names, caller)

    async def signal(self, number: int, names: Sequence[str], caller: Caller) -> dict[str, bool]:
        """See ``Commands.signal``."""
        return await self._parts.commands.signal(number, names, caller)

    async def take_evidence(
        self, names: Sequence[str], caller: Caller
    ) -> dict[str, tuple[str | None, str]]:
        """See ``Commands.take_evidence``."""
        return await self._parts.commands.take_evidence(names, caller)

    @property
    def last_commands(self) -> Mapping[str, LastCommand]:
        """What operators last asked of each unit of this node, since this agent started."""
        return self._parts.own_report.commands

    def visit_all(self) -> None:
        """Follows every node for a while, for a client that looks at the whole cluster."""
        self._parts.peers.visit(node.name for node in self.plan.nodes if node.name != self.node)

    def stop_waiting(self) -> None:
        """Ends all waits for this agent's news, and lets no new one begin."""
        self._parts.bell.close()
        self._parts.own_report.bell.close()

    # -- what the API reads -------------------------------------------------------------------

    @property
    def incarnation(self) -> str:
        """An identifier that is new for every agent that starts."""
        return self._parts.own_report.incarnation

    @property
    def mask(self) -> Mask:
        """Masks the secrets of this run in what is shown."""
        return self._parts.mask

    @property
    def report_version(self) -> str:
        """A string that changes with this node's report."""
        return self._parts.own_report.version

    @property
    def version(self) -> str:
        """A string that changes with anything this agent knows, about its own node or others."""
        return f"{self.report_version}.{self._parts.peer_news.count}"

    async def wait_for_report(self, done: Callable[[], bool], within: float) -> bool:
        """Waits until ``done()``, at most ``within`` seconds; checks when its report changes."""
        return await self._parts.own_report.bell.wait_until(done, within)

    async def wait_for_news(self, done: Callable[[], bool], within: float) -> bool:
        """Waits until ``done()``, at most ``within`` seconds; checks when any report changes."""
        return await self._parts.bell.wait_until(done, within)

    @property
    def waits_for_nothing(self) -> bool:
        """Whether ``stop_waiting`` was called."""
        return self._parts.bell.closed

    def report(self) -> Report:
        """This node's report as of now."""
        return self._parts.own_report.report()

    def peers(self) -> Collection[Peer]:
        """What is known of the nodes that this one follows."""
        return self._parts.peers.peers.values()

    def gate(self, unit: str, *, first: bool) -> Decision:
        """The gate of any unit of the plan, as far as this node knows."""
        return self._parts.gates.decide(unit, first=first)

    @property
    def tried(self) -> Mapping[UnitPort, float]:
        """When each port that a gate depends on was tried last, in monotonic seconds."""
        return self._parts.gates.tried

    def facts(self, unit: str) -> Facts | None:
        """What is known of a unit of this node; None for a unit of another node."""
        runner = self._parts.runners.get(unit)
        return runner.facts if runner else None

    async def ask_afresh(self, within: float) -> dict[str, tuple[Answer, float]]:
        """Asks the RUNNING units of this node once more: each answer, and when it was last known
        not to be no, in monotonic seconds.
        """
        runners = self._parts.runners
        answers = await asyncio.gather(*(each.ask_afresh(within) for each in runners.values()))
        return {name: one for name, one in zip(runners, answers, strict=True) if one is not None}

    async def ask_node(self, node: str, path: str, within: float) -> bytes:
        """See ``Peers.get``."""
        return await self._parts.peers.get(node, path, within)

    def probed(self, unit: str) -> dict[str, float]:
        """The duration in seconds of the last probe of each kind, for a unit of this node."""
        watch = self._parts.runners[unit].watch
        return {probe.kind: probe.seconds for probe in (watch.asked if watch else ())}

    def watch(self, unit: str) -> Watch | None:
        """The probes of a unit of this node, while it has a process."""
        runner = self._parts.runners.get(unit)
        return runner.watch if runner else None

    def reloads(self) -> Mapping[str, Reloads]:
        """For each nginx of this node, how its reloads went."""
        return self._parts.front.reloads()

    def counts(self) -> Counts:
        """The counts for metrics, up to now."""
        return self._parts.counters.counts(clock.monotonic())

    async def read_gpus(self, *, kept_s: float = 0.0) -> Sequence[Gpu]:
        """The GPUs of this node, read at most ``kept_s`` seconds ago; empty if not known."""
        return await self._parts.gpus.read(kept_s=kept_s) or ()
