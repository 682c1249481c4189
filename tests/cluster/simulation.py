"""Many agents in one process and in virtual time: what they decide is the real code, what they run
and the network between them is not."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import replace

from pdsup.cluster import gang_rules, gate_rules, peers
from pdsup.cluster.gang import Gangs
from pdsup.cluster.report import UnitReport
from pdsup.plan.model import Need, Needs, Node, Plan, PlanUnit
from pdsup.units import events, states
from pdsup.units.facts import Facts

LATENCY_S = (0.0005, 0.005)
UNKNOWN_AFTER_S = 3.0  # as the connections between agents are watched
BACKOFF_S = 1.0
END_S = 0.5
LOAD_S = (30.0, 90.0)
# What happens on a node within this is one report, as within one turn of an agent's loop.
TURN_S = 0.0002


class Everything(dict[gate_rules.UnitPort, None]):
    """Ports that can all be reached."""

    def __contains__(self, port: object) -> bool:
        return True

    def __missing__(self, port: gate_rules.UnitPort) -> None:
        return None


def plan(nodes: int, per_node: int, *, span: int = 2, routers: int = 2) -> Plan:
    """Workers over ``span`` nodes each, ``per_node`` ranks on a node; routers on the first ones."""
    units = []
    for first in range(0, nodes, span):
        for index in range(per_node):
            name = f"w{first}-{index}"
            units += [
                PlanUnit(
                    name=f"{name}.{rank}", kind="worker", node=f"n{first + rank}", rank=rank,
                    gang=name, role=("prefill", "decode")[index % 2], ports={"http": 30000 + index},
                    command=("engine",),
                )
                for rank in range(span)
            ]  # fmt: skip
    leaders = tuple(Need(unit=unit.name, ports=("http",)) for unit in units if not unit.rank)
    units += [
        PlanUnit(
            name=f"router-{i}", kind="router", node=f"n{i}", command=("router",),
            needs=Needs(units=leaders, later="one-per-role"),
        )
        for i in range(routers)
    ]  # fmt: skip
    named = tuple(Node(name=f"n{i}", address=f"n{i}") for i in range(nodes))
    return Plan(plan=1, name="sim", nodes=named, units=tuple(units))


class Unit:
    """One unit: a state, and what happens to it on its own."""

    def __init__(self, agent: Agent, planned: PlanUnit) -> None:
        self.planned = planned
        self.facts = Facts(states.Stopped(), None, 0, 0.0, None, "", None)
        self.run = 0
        self.epoch: int | None = None
        self._agent = agent

    def become(self, state: states.State) -> None:
        self.facts = replace(self.facts, state=state, run=self.run)
        self._agent.changed(self)

    @property
    def lives(self) -> bool:
        return states.run_of(self.facts.state) is not None

    def start(self) -> None:
        self.run += 1
        run, now = self.run, self._agent.world.now
        self.epoch = self._agent.epoch(self.planned.name)
        self.become(states.Starting(run, now + 1e9, ()))
        self._agent.world.starts += 1
        # Every process of a node loads from one file system, so they are ready together.
        load = self._agent.load if self.planned.kind == "worker" else 0.6
        self._later(load, run, lambda: self.become(states.Running(run, self._agent.world.now, ())))

    def tell(self, event: events.Event) -> None:
        """The only thing that a gang tells."""
        assert isinstance(event, events.Recycle)
        if self.lives and event.run == self.run:
            now = self._agent.world.now
            self.become(states.Stopping(self.run, now + 9, states.Then.RESTART, (), event.reason))
            self._later(END_S, self.run, lambda: self.become(states.Waiting((), "its gang")))

    def die(self) -> None:
        if not isinstance(self.facts.state, states.Starting | states.Running):
            return
        self.become(states.Backoff(self._agent.world.now + BACKOFF_S, (0.0,), "killed by SIGKILL"))
        self._later(BACKOFF_S, self.run, lambda: self.become(states.Waiting((), "its gang")))

    def _later(self, seconds: float, run: int, do: Callable[[], None]) -> None:
        before, agent = self.facts.state, self._agent

        def due() -> None:
            if agent.world.agents.get(agent.name) is agent and self.facts.state is before:
                do()

        agent.world.at(seconds, due)

    def report(self) -> UnitReport:
        unit, state = self.planned, self.facts.state
        public = states.public(state)
        return UnitReport(
            name=unit.name, kind=unit.kind, role=unit.role, node=unit.node, rank=unit.rank,
            gang=unit.gang, state=public, ready=public == "RUNNING", pid=None, run=self.run,
            restarts=0, since=0.0, started=None, ports=unit.ports, gpus=(),
            reason=states.reason_of(state),
            short_reason=states.short_reason_of(state), last_exit=None,
        )  # fmt: skip


class Agent:
    """One node: its units, what it knows of others, and how much it had to do."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.load = world.chance.uniform(*LOAD_S)
        self.heard = self.looks = self.decisions = 0
        self.known: dict[str, dict[str, UnitReport] | None] = {}
        self.own: dict[str, UnitReport] = {}
        self.units = {unit.name: Unit(self, unit) for unit in world.units_of[name]}
        self._gangs = Gangs(world.plan, self.units, self.look, lambda _: None, self._describe)
        self.epoch = self._gangs.epoch
        self._due = False
        self._published: dict[str, UnitReport] = {}

    def look(self, unit: str) -> UnitReport | None:
        if unit in self.own:
            return self.own[unit]
        known = self.known.get(self.world.node_of[unit])
        return known.get(unit) if known else None

    def begin(self) -> None:
        for unit in self.units.values():
            unit.become(states.Waiting((), "its gate"))

    def _describe(self, unit: str) -> UnitReport:
        return self.units[unit].report()

    def changed(self, unit: Unit) -> None:
        self._gangs.react()
        self.own[unit.planned.name] = self._gangs.stamped(unit.report())
        self.soon()

    def hear(self, node: str, report: dict[str, UnitReport] | None) -> None:
        self.heard += 1
        self.known[node] = report
        self.soon()

    def soon(self) -> None:
        if not self._due:
            self._due = True
            self.world.at(TURN_S, self._turn)

    def _turn(self) -> None:
        self._due = False
        if self.world.agents.get(self.name) is not self:
            return  # the node has gone since
        self.looks += 1
        self._gangs.react()
        for name in self._gangs.units:
            self.own[name] = self._gangs.stamped(self.units[name].report())
        for name, unit in self.units.items():
            if isinstance(unit.facts.state, states.Waiting) and self._may_start(name, unit):
                unit.start()
        if self.own != self._published:
            self._published = dict(self.own)
            self.world.publish(self.name, self._published)

    def _may_start(self, name: str, unit: Unit) -> bool:
        if self._gangs.reason(name) is not None:
            return False
        if not unit.planned.needs.units:
            return True
        self.decisions += 1
        plan, first = self.world.plan, unit.run == 0
        return gate_rules.decide(plan, name, self.look, Everything(), first=first).reason is None


class World:
    """All nodes, the network between them, and the time."""

    def __init__(self, made: Plan, seed: int = 1) -> None:
        self.plan = made
        self.now, self.starts = 0.0, 0
        self.chance = random.Random(seed)
        self.node_of = {unit.name: unit.node for unit in made.units}
        self.units_of: dict[str, list[PlanUnit]] = {node.name: [] for node in made.nodes}
        for unit in made.units:
            self.units_of[unit.node].append(unit)
        self.followed = {node.name: peers.followed(made, node.name) for node in made.nodes}
        self.followers: dict[str, list[str]] = {node.name: [] for node in made.nodes}
        for node, nodes in self.followed.items():
            for other in nodes:
                self.followers[other].append(node)
        self._gangs = gang_rules.ranks(made)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._cut: set[str] = set()
        self.agents: dict[str, Agent] = {}
        for node in made.nodes:
            self.boot(node.name)

    def at(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), do))

    def run(self, seconds: float) -> None:
        """Lets a time pass, and all happen that is due in it."""
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            self.now, _, do = heapq.heappop(self._queue)
            do()
        self.now = until

    def publish(self, node: str, report: dict[str, UnitReport]) -> None:
        for follower in self.followers[node]:
            self.at(self.chance.uniform(*LATENCY_S), self._delivery(node, follower, report))

    def _delivery(
        self, node: str, follower: str, report: dict[str, UnitReport]
    ) -> Callable[[], None]:
        sender = self.agents[node]

        def deliver() -> None:
            there = self.agents.get(follower)
            # Of several under way the newest counts: a long poll gives the present report.
            if there and self.agents.get(node) is sender and not {node, follower} & self._cut:
                there.hear(node, sender._published)

        return deliver

    def boot(self, node: str) -> None:
        agent = self.agents[node] = Agent(self, node)
        agent.begin()
        self._meet(node)

    def lose(self, node: str) -> None:
        """Power loss."""
        del self.agents[node]
        self._silence(node)

    def cut(self, node: str) -> None:
        """Its network is gone; its units go on."""
        self._cut.add(node)
        self._silence(node)
        for other in self.followed[node]:
            self.at(UNKNOWN_AFTER_S, lambda other=other: self._doubt(node, other))

    def heal(self, node: str) -> None:
        self._cut.discard(node)
        self._meet(node)

    def _silence(self, node: str) -> None:
        for follower in self.followers[node]:
            self.at(UNKNOWN_AFTER_S, lambda one=follower: self._doubt(one, node))

    def _doubt(self, at: str, node: str) -> None:
        if at in self.agents and (node not in self.agents or {node, at} & self._cut):
            self.agents[at].hear(node, None)

    def _meet(self, node: str) -> None:
        """It and those that follow it or that it follows hear each other again."""
        if published := self.agents[node]._published:
            self.publish(node, published)
        for other in self.followed[node] & self.agents.keys():
            if published := self.agents[other]._published:
                self.at(LATENCY_S[1], self._delivery(other, node, published))

    # -- what is true -------------------------------------------------------------------------

    def unit(self, name: str) -> Unit:
        return self.agents[self.node_of[name]].units[name]

    def all_run(self) -> bool:
        return all(
            isinstance(unit.facts.state, states.Running)
            for agent in self.agents.values()
            for unit in agent.units.values()
        )

    def mixed(self) -> list[str]:
        """Gangs of which more than one epoch lives."""
        return [name for name, ranks in self._gangs.items() if len(self._epochs(ranks)) > 1]

    def _epochs(self, ranks: tuple[str, ...]) -> set[int]:
        found = set()
        for name in ranks:
            agent = self.agents.get(self.node_of[name])
            if agent and agent.units[name].lives and (standing := agent.own[name].standing):
                found.add(standing.spent)
        return found
