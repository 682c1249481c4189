"""Evidence on every rank of a gang, each by its own agent, with reports as the only messages."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pdsup.bell import Bell
from pdsup.cluster.gang_evidence import GangEvidence
from pdsup.cluster.own_report import unit_report
from pdsup.cluster.report import Examination, UnitReport
from pdsup.plan.model import Node, Plan, PlanUnit
from pdsup.units import events, evidence
from tests.bed.hosts import FakeNode, assigned, settle

LIMIT = 60.0
REASON = "no answer; no progress for 300 s"


def rank(number: int) -> PlanUnit:
    return PlanUnit(
        name=f"prefill-0.{number}", kind="worker", role="prefill", rank=number, gang="prefill-0",
        node=f"node{number}", command=("engine",),
    )  # fmt: skip


ALONE = PlanUnit(name="router-0", kind="router", node="node0", command=("router",))
PLAN = Plan(
    plan=1, name="x", nodes=tuple(Node(name=f"node{i}", address=f"a{i}") for i in range(3)),
    units=(rank(0), rank(1), rank(2), ALONE),
)  # fmt: skip


class Site:
    """Agents that see each other's reports, unless told otherwise. Evidence takes until ``go``."""

    def __init__(self, tasks: asyncio.TaskGroup, directory: Path) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.taken: list[str] = []
        self.silent: set[str] = set()
        self.bells = {node.name: Bell() for node in PLAN.nodes}
        units = [unit for node in PLAN.nodes for unit in assigned(PLAN, node.name, directory).units]
        self.bed = FakeNode(units, tasks, directory)
        self.runners = self.bed.runners
        self.agents = {
            node.name: GangEvidence(
                PLAN,
                {u.name: self.runners[u.name] for u in PLAN.units if u.node == node.name},
                self,
                tasks,
                self.look,
                functools.partial(self.publish, node.name),
            )
            for node in PLAN.nodes
        }

    def look(self, unit: str) -> UnitReport | None:
        planned = PLAN.by_name[unit]
        if planned.node in self.silent:
            return None
        report = unit_report(planned, self.runners[unit].facts)
        return self.agents[planned.node].stamped(report)

    async def restart(self) -> None:
        """Every unit begins its next run."""
        for runner in self.runners.values():
            runner.tell(events.Restart("asked for"))
        await settle()

    def publish(self, changed: str) -> None:
        if changed in self.silent:
            return
        for node, agent in self.agents.items():
            if node not in self.silent:
                asyncio.get_running_loop().call_soon(agent.react)
                asyncio.get_running_loop().call_soon(self.bells[node].ring)

    async def collect(self, unit: str, run: int, reason: str, subject, asked) -> str:
        await self.go.wait()
        self.taken.append(f"{unit} {run}: {reason}")
        return evidence.directory(unit, run)

    async def examine(self, unit: str) -> str:
        node = PLAN.by_name[unit].node
        async with asyncio.timeout(LIMIT):
            return await self.agents[node].examine(unit, REASON, self.bells[node])


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with asyncio.TaskGroup() as tasks:
        site = Site(tasks, tmp_path)
        site.bed.serve()
        await site.bed.up(*site.runners)
        yield site
        for agent in site.agents.values():
            await agent.close()
        await site.bed.close()


async def test_a_unit_without_a_gang_is_examined_alone(site: Site) -> None:
    assert await site.examine("router-0") == "evidence in evidence/router-0-1"
    assert site.taken == [f"router-0 1: {REASON}"]


@pytest.mark.parametrize("first", [0, 1])
async def test_the_whole_gang_is_examined_whoever_was_found_dead(site: Site, first: int) -> None:
    name = f"prefill-0.{first}"
    assert await site.examine(name) == f"evidence in evidence/{name}-1"
    others = [f"prefill-0.{i}" for i in range(3) if i != first]
    assert site.taken[0] == f"{name} 1: {REASON}"
    assert sorted(told.split(" ")[0] for told in site.taken[1:]) == others
    assert all("of the same gang is being examined" in told for told in site.taken[1:])


async def test_it_waits_until_the_others_have_theirs(site: Site) -> None:
    site.go.clear()
    examined = asyncio.create_task(site.examine("prefill-0.0"))
    site.go.set()
    await examined
    assert len(site.taken) == 3
    assert site.look("prefill-0.2").examination == Examination(run=1, done=True)


async def test_a_rank_whose_agent_does_not_answer_is_not_waited_for(site: Site) -> None:
    site.silent.add("node1")
    await site.examine("prefill-0.0")
    assert sorted(told.split(" ")[0] for told in site.taken) == ["prefill-0.0", "prefill-0.2"]


async def test_a_rank_that_hears_nothing_holds_the_end_up_for_a_bounded_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "WITHIN_S", 0.2)
    monkeypatch.setattr(site.agents["node1"], "react", lambda: None)
    assert await site.examine("prefill-0.0") == "evidence in evidence/prefill-0.0-1"
    assert site.look("prefill-0.1").examination is None


async def test_a_rank_that_is_down_has_nothing_to_show(site: Site) -> None:
    await site.bed.reach("prefill-0.1", "STOPPED")
    await site.examine("prefill-0.0")
    assert sorted(told.split(" ")[0] for told in site.taken) == ["prefill-0.0", "prefill-0.2"]


async def test_each_run_is_examined_once(site: Site) -> None:
    await asyncio.gather(site.examine("prefill-0.0"), site.examine("prefill-0.1"))
    assert len(site.taken) == 3
    await site.restart()
    await site.examine("prefill-0.2")
    assert len(site.taken) == 6


async def test_evidence_of_an_earlier_run_does_not_have_the_next_one_examined(site: Site) -> None:
    await site.examine("prefill-0.0")
    await site.restart()
    site.publish("node0")
    await settle()
    assert len(site.taken) == 3


async def test_where_there_is_none_it_says_why(site: Site, monkeypatch) -> None:
    async def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(site, "collect", fail)
    for agent in site.agents.values():
        monkeypatch.setattr(agent, "_collection", site)
    assert await site.examine("router-0") == "no evidence: No space left on device"
    assert replace(site.look("router-0").examination, run=0) == Examination(run=0, done=True)
