"""The agent of one node: owns its units and whatever they need, from start to end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

import aiohttp

from pdsup import clock
from pdsup.agent.commands import Commands
from pdsup.agent.counters import Counters
from pdsup.agent.gpu_watch import GpuWatch
from pdsup.agent.reload import Hands, Reload
from pdsup.agent.signals import Signals
from pdsup.bell import Bell
from pdsup.cluster import ending_rules, own_report, peers
from pdsup.cluster.bounce import DecodeBounce
from pdsup.cluster.ending import Ending
from pdsup.cluster.gang import Gangs
from pdsup.cluster.gang_evidence import GangEvidence
from pdsup.cluster.gate import Gates
from pdsup.cluster.lost_nodes import LostNodes
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from pdsup.cluster.report import Peer, UnitReport
from pdsup.cluster.rollout import Rollout
from pdsup.errors import SupervisorError
from pdsup.front.drain import Drains
from pdsup.front.nginx_conf import Reloads
from pdsup.front.router import RouterRepair
from pdsup.front.upstreams import Upstreams
from pdsup.journal.hooks import Hooks
from pdsup.journal.news import Log, News
from pdsup.node.assignment import Assignment
from pdsup.units import events, states, takeover
from pdsup.units.cause import CauseSearch
from pdsup.units.evidence import Evidence
from pdsup.units.facts import Facts, Transition
from pdsup.units.host import Host
from pdsup.units.ledger import Ledger, LedgerFile
from pdsup.units.logs import output
from pdsup.units.process.gpus import GpuReadings
from pdsup.units.process.guardian_link import BEGAN, REPLACE, GuardianLink
from pdsup.units.process.reap import Reaper, become_subreaper
from pdsup.units.process.spawn import Spawner, close_inherited
from pdsup.units.runner import Runner

# What must work before an agent makes way for another one with, perhaps, newer code.
TRIAL = (sys.executable, "-c", "import pdsup.launch")
TRIAL_S = 60.0


class Agent:
    """One node's part of a plan. ``tasks`` owns every task; ``run`` is called once."""

    def __init__(
        self,
        assignment: Assignment,
        token: str,
        session: aiohttp.ClientSession,
        tasks: asyncio.TaskGroup,
        messenger: GuardianLink,
        inherited: Ledger,
        log: Log,
    ) -> None:
        """``inherited``: what an agent that is gone left running; this one goes on with it."""
        self.assignment = assignment
        self.plan = assignment.plan
        self.node = assignment.place.node
        self.bell = Bell()
        self._reaction_due = asyncio.Event()
        self.publisher = OwnReport(assignment, self.bell, messenger.pid)
        self.poller = Peers(
            self.plan, assignment.digest, assignment.former, token, session, tasks,
            self._peer_changed,
        )  # fmt: skip
        self.gates = Gates(assignment, self.publisher, self.poller, tasks, self._reaction_due.set)
        self._log = log
        self._spawner = Spawner()
        self._messenger = messenger
        self._tasks = tasks
        self._inherited = inherited
        took_over = bool(inherited.notes)
        self._bookkeeper = LedgerFile(
            assignment.place.state_dir, assignment.digest, inherited, messenger.pid
        )
        self._reaper = Reaper(self._spawner, messenger)
        self._notifier = Hooks(
            assignment, self._spawner, self._reaper, session, log, inherited=took_over
        )
        self._announcer = News(assignment.place, log, self._notifier.tell)
        tell = self._announcer.tell
        self._overseer = LostNodes(assignment, tell, self._bookkeeper, inherited.lost)
        self.gpus = GpuReadings()
        self._units_of: dict[str, list[str]] = {}
        for unit in self.plan.units:
            self._units_of.setdefault(unit.node, []).append(unit.name)
        self._drainer = Drains(assignment, self.gates.look, self.publisher.is_ending)
        self._runners = self._make_runners()
        self._ganger = Gangs(
            self.plan, self._runners, self.gates.look, self._own_gate, self._describe
        )
        self._balancers = self._make_balancers(session)
        self._repairers = self._make_repairers(session)
        books = self._bookkeeper
        self._gpuwatcher = GpuWatch(self._runners, self.gpus, books, tell, inherited.gpus)
        self._renewer = Rollout(
            assignment, self._runners, self.publisher, self.poller, self.gates,
            self._reaction_due.set,
        )  # fmt: skip
        self._bouncer = DecodeBounce(self.plan, self._runners, self.gates.look)
        collector = Evidence(assignment.place.run_dir, self._spawner)
        self._examiner = GangEvidence(
            self.plan, self._runners, collector, tasks, self.gates.look, self._reaction_due.set
        )
        self.operator = Commands(self._runners, self.publisher)
        self.replanner = self._make_replanner()
        known = {name: runner.facts.state for name, runner in self._runners.items()}
        self.counter = Counters(known, clock.monotonic())
        self._ender = Ending(self.plan, self._runners, self.publisher, self.poller, self.bell)
        self._end = asyncio.Event()
        self._fatal = {
            name for name, note in inherited.notes.items() if isinstance(note.state, states.Fatal)
        }
        self.leaves_units = False  # only to another agent that takes them over at once
        self._news = 0
        self._ganger.react()
        self._publish_all(self._runners)

    def _make_runners(self) -> dict[str, Runner]:
        """One for each unit; they know what an agent that is gone knew."""
        host = Host(
            self._spawner, self._reaper, self.gpus, CauseSearch(),
            self._bookkeeper, self._messenger, self._tasks, self.assignment.run_name,
        )  # fmt: skip
        made = {unit.name: Runner(unit, host, self) for unit in self.assignment.units}
        for name, note in self._inherited.notes.items():
            made[name].restore(note)
        return made

    def _make_balancers(self, session: aiohttp.ClientSession) -> dict[str, Upstreams]:
        return {
            name: Upstreams(
                self.assignment, runner, self.gates, self._spawner, session, self._reaction_due.set,
                self._announcer.tell,
            )
            for name, runner in self._runners.items()
            if runner.unit.plan.kind == "nginx"
        }  # fmt: skip

    def _make_repairers(self, session: aiohttp.ClientSession) -> list[RouterRepair]:
        return [
            RouterRepair(self.plan, runner.unit, self.gates.look, session, self._log)
            for runner in self._runners.values()
            if runner.unit.plan.kind == "router" and "http" in runner.unit.plan.ports
        ]

    def _make_replanner(self) -> Reload:
        hands = Hands(
            self._check_way, self._make_way, self.operator, self._bookkeeper, self.gates.look
        )
        return Reload(
            self.assignment, self.publisher, self.poller, hands, self.bell, self._tasks, self._log
        )

    @property
    def version(self) -> str:
        """Changes with everything this agent knows, of its own node and of others."""
        return f"{self.publisher.version}.{self._news}"

    def facts(self, unit: str) -> Facts | None:
        """What is known of a unit of this node; None for those of others."""
        runner = self._runners.get(unit)
        return runner.facts if runner else None

    def probed(self, unit: str) -> dict[str, float]:
        """For each kind of probe of a unit of this node, how many seconds its last answer took."""
        watch = self._runners[unit].watch
        return {one.kind: one.seconds for one in (watch.asked if watch else ())}

    def fronts(self) -> dict[str, Reloads]:
        """For each nginx of this node, how it has taken its configurations."""
        return {name: balancer.reloads for name, balancer in self._balancers.items()}

    async def run(self) -> int:
        """Runs the units until told to end, or until the benchmark has ended.

        The exit status of the agent: the benchmark's, if it was here, else 1 for something FATAL.
        """
        close_inherited()
        become_subreaper()
        ears = Signals(self.end, self._ender.hurry, self.replanner.hear, self._reaper.sweep)
        ears.listen()
        self._bookkeeper.open()
        self._messenger.listen(self._lose_guardian)
        self.poller.follow(peers.followed(self.plan, self.node))
        doers = [self._react(), *(runner.serve() for runner in self._runners.values())]
        doers += [output.watch([runner.output for runner in self._runners.values()])]
        doers += [self._gpuwatcher.run(), self._notifier.run()]
        doers += [balancer.reloader.run() for balancer in self._balancers.values()]
        doers += [repairer.run() for repairer in self._repairers]
        serving = [self._tasks.create_task(doer) for doer in doers]
        try:
            self._begin()
            await self._end.wait()
            if not self.leaves_units:
                await self._ender.end()
                await asyncio.gather(self._ender.linger(), self._notifier.finish())
                for task in serving:
                    task.cancel()
                await self._leave_nothing()
            else:
                await self._notifier.finish()
        finally:
            for task in serving:
                task.cancel()
            await self.replanner.close()
            await self._examiner.close()
            await self.gates.close()
            await self.poller.close()
            ears.close()
        return ending_rules.status(self.publisher.units.values()) or (1 if self._fatal else 0)

    def _lose_guardian(self) -> None:
        self._log.warning("the guardian was killed: nobody starts this agent again")
        self.publisher.lose_guardian()

    async def make_way(self) -> None:
        """Ends this agent, not its units: the guardian starts another one at once. Raises
        SupervisorError where there is no guardian, or the code can't be loaded.
        """
        await self._check_way()
        self._make_way()

    async def _check_way(self) -> None:
        if self._messenger.pid is None:
            raise SupervisorError(f"cannot reload the agent of {self.node}: it has no guardian")
        if (complaint := await self._spawner.complaint(TRIAL, TRIAL_S)) is not None:
            raise SupervisorError(f"cannot reload the agent of {self.node}: {complaint}")

    def _make_way(self) -> None:
        if self._end.is_set():
            raise SupervisorError(f"cannot reload the agent of {self.node}: it ends its units")
        self._log.info("making way for a new agent")
        self.leaves_units = True
        self._messenger.say(REPLACE)
        self._end.set()

    def _begin(self) -> None:
        """Takes over what runs, and starts what was never run."""
        self._messenger.say(BEGAN)
        last = takeover.last_step(self._inherited, self.plan)
        if last is not None and self._announcer.lacks(last):
            self._record(last, late=True)
        for name, runner in self._runners.items():
            if name in self._inherited.notes:
                runner.resume()
                self._publish(name)
            else:
                runner.tell(events.Start())
        self.replanner.resume(self._inherited.next)
        if self._inherited.ending is not None:
            reason, of_cluster = self._inherited.ending
            self.end(reason, of_cluster=of_cluster)
        self._reaction_due.set()

    def end(self, reason: str, *, of_cluster: bool) -> None:
        """Begins the end of this node's units, and of all nodes' if wanted."""
        if not self._end.is_set() or of_cluster:
            self._log.info("ending", reason=reason, of_cluster=of_cluster)
            self.publisher.publish_end(reason, of_cluster=of_cluster)
            self._bookkeeper.note_end(reason, of_cluster=of_cluster)
        self._end.set()

    # -- what runners ask and tell ------------------------------------------------------------

    def gate(self, unit: str, *, first: bool) -> str | None:
        """What the unit waits for before a start, or None."""
        return self._own_gate(unit) or self._ganger.reason(unit)

    def epoch(self, unit: str) -> int | None:
        """The epoch of its gang in which the unit may start now; None for a unit of no gang."""
        return self._ganger.epoch(unit)

    def before_spawn(self, unit: str) -> None:
        """nginx finds its configuration and directories ready."""
        if unit in self._balancers:
            self._balancers[unit].reloader.prepare()

    def drain_within(self, unit: str) -> float:
        """How long it may take to get a unit out of use, in seconds; 0: it need not be."""
        return self._drainer.within(unit)

    async def drain(self, unit: str) -> None:
        """Returns when a unit that is to end has no more work and gets none."""
        await self._drainer.drain(unit)

    def changed(self, unit: str, transition: Transition | None) -> None:
        """Publishes and records what a runner told, and lets the rest of the node react."""
        self._announcer.tell_of_log(unit, self._runners[unit].facts.log_problem)
        self._ganger.react()  # a run's epoch is noted before its process is started
        self._publish(unit)
        self._balance()
        self.gates.forget([unit])
        if transition is not None:
            self._record(transition)
        self._reaction_due.set()

    async def examine(self, unit: str, reason: str) -> str:
        """Takes the evidence of a unit that was found dead, and of its gang; tells where it is."""
        return await self._examiner.examine(unit, reason, self.bell)

    def _describe(self, name: str) -> UnitReport:
        runner = self._runners[name]
        nginx = self._balancers.get(name)
        unusable = nginx.unusable() if nginx else self._drainer.unlisted(name)
        upstreams = nginx.upstreams() if nginx else None
        return own_report.unit_report(
            runner.unit.plan, runner.facts, unusable, upstreams, runner.made,
            outdated=runner.outdated,
        )  # fmt: skip

    def _publish_all(self, names: Iterable[str]) -> None:
        for name in names:
            self._publish(name)

    def _publish(self, name: str) -> None:
        report = self._ganger.stamped(self._describe(name))
        self.publisher.publish(self._examiner.stamped(report))

    def _balance(self) -> None:
        """At once, not soon: whoever hears that a router is ready must not find nginx ready too
        with a list that lacks it.
        """
        for name, balancer in self._balancers.items():
            balancer.follow(self._runners[name].facts.pid)
        self._publish_all((*self._balancers, *self._drainer.routers))

    def _record(self, transition: Transition, *, late: bool = False) -> None:
        self.counter.take(transition)
        if isinstance(transition.after, states.Fatal):
            self._fatal.add(transition.unit)
            if self.plan.on_fatal == "stop-cluster":
                reason = states.reason_of(transition.after)
                self.end(f"{transition.unit} is FATAL: {reason}", of_cluster=True)
        self._announcer.tell(transition, late=late)

    def _peer_changed(self, node: str) -> None:
        self.gates.forget(self._units_of.get(node, ()))
        self._balance()
        self._news += 1
        self.bell.ring()
        self._reaction_due.set()
        self._overseer.follow(self.poller.peers[node])
        self._obey(self.poller.peers[node])
        self.replanner.consider(self.poller.peers[node])

    async def _react(self) -> None:
        """Once to everything that happens in one turn of the loop, until cancelled."""
        while True:
            await self._reaction_due.wait()
            self._reaction_due.clear()
            self._look_around()

    def _own_gate(self, unit: str) -> str | None:
        first = self._runners[unit].facts.run == 0
        return self._renewer.reason(unit) or self.gates.reason(unit, first=first)

    def _look_around(self) -> None:
        self._balance()
        self._renewer.follow()
        self._ganger.react()
        self._examiner.react()
        self._publish_all({*self._ganger.units, *self._examiner.examined})
        self._bouncer.follow()
        for repairer in self._repairers:
            repairer.follow()
        waiting = {
            name: runner
            for name, runner in self._runners.items()
            if isinstance(runner.facts.state, states.Waiting)
        }
        self.gates.inquire((name, runner.facts.run == 0) for name, runner in waiting.items())
        for runner in waiting.values():
            runner.tell(events.GateChanged())
        finished = ending_rules.reason(self.plan, self.gates.look)
        if finished and not self.publisher.ends_cluster:
            self.end(finished, of_cluster=True)

    def _obey(self, peer: Peer) -> None:
        if peer.usable and peer.usable.ends_cluster and not self.publisher.ends_cluster:
            self.end(f"{peer.node} ends the cluster: {peer.usable.ending}", of_cluster=True)

    async def _leave_nothing(self) -> None:
        """No process outlives a proper end; an agent that crashed leaves all to the next one."""
        if survivors := await self._reaper.end_everything():
            self._log.warning("processes survive SIGKILL (state D in ps?)", pids=survivors)
        for runner in self._runners.values():
            runner.output.end()
