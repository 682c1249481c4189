"""The parts of an agent and the connections between them: only this file puts them together.

Each part gets what it needs in its constructor, so this file runs from the parts that need nothing
to those that need everything. No part reaches into another: they read reports and the ``facts`` of
a runner, and act by sending events to runners.

Four kinds of news come from parts built early and must reach parts built later:

- A result for a port, a reload of nginx, evidence collected, time passed. None is urgent: each sets
  ``due``, and soon every part reacts, in the order given in ``build``.
- A report of another node: ``Peers`` calls ``PeerNews``, registered as soon as it is built.
- A unit changes, or asks whether it may start: the runner calls its ``UnitHost``, which it gets
  when it begins to serve.
- A reason to end: ``Shutdown``, which needs little and is built early.

What must never happen: a report that shows only half of a change. A router counts as ready only
once nginx lists it, so ``front.react`` and ``reports.publish_front`` run at once, before another
node can read the report; and a rank may start only after its leader's order is published. The order
in ``Reactions`` ensures this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import aiohttp

from pdsup import clock
from pdsup.agent.commands import Commands
from pdsup.agent.counters import Counters
from pdsup.agent.gpu_watch import GpuWatch
from pdsup.agent.pulse import Pulse
from pdsup.agent.reactions import PeerNews, Reactions, WaitingUnits
from pdsup.agent.reload import Reload
from pdsup.agent.shutdown import HandOver, Shutdown
from pdsup.agent.unit_host import NodeHost
from pdsup.agent.unit_reports import UnitReports, described
from pdsup.bell import Bell
from pdsup.cluster.bounce import DecodeBounce
from pdsup.cluster.ending import Ending
from pdsup.cluster.gang import Gangs
from pdsup.cluster.gang_evidence import GangEvidence
from pdsup.cluster.gate import Gates
from pdsup.cluster.lost_nodes import LostNodes
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from pdsup.cluster.rollout import Rollout
from pdsup.front.drain import Drains
from pdsup.front.front import Front
from pdsup.front.router import RouterRepair
from pdsup.front.upstreams import Upstreams
from pdsup.journal.hooks import Hooks
from pdsup.journal.news import Log, News
from pdsup.node.assignment import Assignment
from pdsup.plan import masks
from pdsup.plan.masks import Mask
from pdsup.units.cause import CauseSearch
from pdsup.units.evidence import Evidence
from pdsup.units.host import Host
from pdsup.units.ledger import Ledger, LedgerFile
from pdsup.units.process.defects import Defects
from pdsup.units.process.guardian_link import GuardianLink
from pdsup.units.process.nvml import GpuReadings
from pdsup.units.process.reap import Reaper
from pdsup.units.process.spawn import Spawner
from pdsup.units.runner import Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts that the agent runs, closes, or answers the API from."""

    assignment: Assignment
    mask: Mask
    inherited: Ledger
    tasks: asyncio.TaskGroup
    log: Log
    bell: Bell
    due: asyncio.Event
    ledger: LedgerFile
    guardian: GuardianLink
    reaper: Reaper
    gpus: GpuReadings
    defects: Defects
    own_report: OwnReport
    pulse: Pulse
    peers: Peers
    peer_news: PeerNews
    gates: Gates
    journal: News
    hooks: Hooks
    runners: Mapping[str, Runner]
    host: NodeHost
    reports: UnitReports
    front: Front
    gangs: Gangs
    evidence: GangEvidence
    counters: Counters
    gpu_watch: GpuWatch
    reactions: Reactions
    commands: Commands
    ending: Ending
    shutdown: Shutdown
    hand_over: HandOver
    reload: Reload


def build(
    assignment: Assignment,
    token: str,
    session: aiohttp.ClientSession,
    tasks: asyncio.TaskGroup,
    guardian: GuardianLink,
    inherited: Ledger,
    log: Log,
) -> Parts:
    """Builds the parts of one node's agent. ``tasks`` owns all its tasks; none is started here.

    ``inherited``: the ledger of an earlier agent, whose running units this one takes over.
    """
    plan, place = assignment.plan, assignment.place
    took_over = bool(inherited.notes)
    bell, due = Bell(), asyncio.Event()
    mask = masks.of_plan(plan, place.environ, [token])

    # What is noted for a successor, and the journal and hooks that record what happens.
    spawner = Spawner()
    reaper = Reaper(spawner, guardian)
    hooks = Hooks(assignment, spawner, reaper, session, log, inherited=took_over)
    journal = News(place, log, hooks.tell, masks.MODES[plan.readable_by.journal])
    journal.resume(inherited.lines)
    ledger = LedgerFile(
        place.state_dir,
        assignment.digest,
        replace(inherited, run_dir=place.run_dir, token=token),
        guardian.pid,
        guardian.copy,
        assignment.text,
        journal.own,
    )
    journal.keep_in(ledger.note_line)

    # What is known: this node's report, those of others, and the gates that depend on them.
    own_report = OwnReport(assignment, bell, guardian.pid)
    defects = Defects(log)
    pulse = Pulse(guardian.beat)
    known = {node.name for node in plan.nodes if took_over} - inherited.lost
    peers = Peers(
        plan,
        assignment.digest,
        assignment.former,
        token,
        session,
        tasks,
        pulse.stood_still,
        known,
        inherited.signers,
        ledger.note_signers,
    )
    gates = Gates(assignment, own_report, peers, tasks, due.set)
    shutdown = Shutdown(plan, own_report, ledger, gates.look, log)

    gpus = GpuReadings()
    shared = Host(
        spawner,
        reaper,
        gpus,
        CauseSearch(mask=mask),
        ledger,
        journal.line,
        guardian,
        tasks,
        assignment.run_name,
        defects,
        mask,
    )
    runners = {unit.name: Runner(unit, shared) for unit in assignment.units}
    for name, note in inherited.notes.items():
        runners[name].restore(note)
    counters = Counters({n: r.facts.state for n, r in runners.items()}, clock.monotonic())

    # Parts that watch reports and send events to runners.
    front = Front(
        {
            name: Upstreams(assignment, runner, gates, spawner, session, due.set, journal.tell)
            for name, runner in runners.items()
            if runner.unit.plan.kind == "nginx"
        },
        _router_repairs(assignment, gates, session, log),
        Drains(assignment, gates.look, own_report.is_ending, due.set),
    )
    rollout = Rollout(assignment, runners, own_report, peers, gates, due.set)

    def beside_its_gang(unit: str) -> str | None:
        first = runners[unit].facts.never_ran
        return rollout.reason(unit) or gates.reason(unit, first=first)

    gangs = Gangs(
        plan,
        runners,
        gates.look,
        beside_its_gang,
        lambda unit: described(runners[unit], front, rollout),
    )
    evidence = GangEvidence(
        plan,
        runners,
        Evidence(place.run_dir, spawner, mask, masks.MODES[plan.readable_by.logs]),
        tasks,
        gates.look,
        due.set,
    )
    commands = Commands(runners, own_report, evidence, journal.tell)
    bounce = DecodeBounce(plan, runners, gates.look)
    lost_nodes = LostNodes(assignment, journal.tell, ledger, inherited.lost)
    reports = UnitReports(own_report, runners, front, rollout, gangs, evidence)
    hand_over = HandOver(place.node, guardian, spawner, shutdown, log)
    reload = Reload(
        assignment, own_report, peers, gates.look, commands, ledger, hand_over, tasks, log
    )

    reactions = Reactions(
        due,
        (
            # Whether a router is ready depends on nginx's list, and the rest depends on that.
            front.react,
            reports.publish_front,
            # Hold back an outdated unit before its gang finds it ready to start.
            rollout.react,
            reports.publish_outdated,
            # Ranks take in what happened before their standings are published.
            gangs.react,
            evidence.react,
            reports.publish_gangs,
            bounce.react,
            front.repair,
            # Units may start only now: a rank must see the order that its leader just gave.
            WaitingUnits(runners, gates).react,
            # Last, so that what ended the run is published first.
            shutdown.react,
        ),
        defects,
    )
    peer_news = PeerNews(
        plan,
        peers,
        gates,
        # No report may show nginx ready with a list that lacks a router known to be ready.
        (front.react, reports.publish_front),
        # These do not depend on each other.
        (lost_nodes.peer_changed, shutdown.peer_changed, reload.peer_changed),
        bell,
        due,
        defects,
    )
    peers.listen(peer_news.changed)
    host = NodeHost(
        plan=plan,
        runners=runners,
        # The gang comes last: it counts a rank as ready when nothing else holds it back.
        waits_for=(beside_its_gang, gangs.reason),
        gates=gates,
        gangs=gangs,
        front=front,
        evidence=evidence,
        reports=reports,
        counters=counters,
        journal=journal,
        shutdown=shutdown,
        bell=bell,
        due=due,
        defects=defects,
    )
    # The API answers before the agent runs, so every unit needs a report by then.
    gangs.react()
    reports.publish(runners)
    return Parts(
        assignment=assignment,
        mask=mask,
        inherited=replace(inherited, lines=()),
        tasks=tasks,
        log=log,
        bell=bell,
        due=due,
        ledger=ledger,
        guardian=guardian,
        reaper=reaper,
        gpus=gpus,
        defects=defects,
        own_report=own_report,
        pulse=pulse,
        peers=peers,
        peer_news=peer_news,
        gates=gates,
        journal=journal,
        hooks=hooks,
        runners=runners,
        host=host,
        reports=reports,
        front=front,
        gangs=gangs,
        evidence=evidence,
        counters=counters,
        gpu_watch=GpuWatch(runners, gpus, ledger, journal.tell, inherited.gpus),
        reactions=reactions,
        commands=commands,
        ending=Ending(plan, runners, own_report, peers, bell),
        shutdown=shutdown,
        hand_over=hand_over,
        reload=reload,
    )


def _router_repairs(
    assignment: Assignment, gates: Gates, session: aiohttp.ClientSession, log: Log
) -> list[RouterRepair]:
    return [
        RouterRepair(assignment.plan, unit, gates.look, gates.has_asked, session, log)
        for unit in assignment.units
        if unit.plan.kind == "router" and "http" in unit.plan.ports
    ]
