"""A defect in one part of an agent: what ends, and what goes on."""

import ast
import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from pdsup.agent.reactions import PeerNews, Reactions
from pdsup.bell import Bell
from pdsup.cluster.gate import Gates
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from pdsup.journal.hooks import Delivery
from pdsup.units import events
from pdsup.units.probes import watch
from pdsup.units.process import defects as defects_module
from pdsup.units.process.defects import Defects
from tests.bed.hosts import FakeNode, settle
from tests.bed.log import quiet
from tests.bed.network import TOKEN, FakeNetwork

SOURCE = Path(__file__).parents[2] / "supervisor" / "pdsup"
# What each task of an agent does when something in it fails that nobody expected.
DECIDED = {
    "keep_up(where, serve)": "it begins anew",
    "self._contained(work)": "logged; deadlines of the unit go on",
    "self._host.defects.kept_up(f'end of {self._mark}', lambda: self._prove_end(trace, status))": (
        "it begins anew: without it the unit would never end"
    ),
    "_warn_of_others(assignment, log)": "nothing is warned of",
    "self._follow(node)": "the node is doubted and asked again",
    "self._try(port)": "the port counts as not reached and is tried again",
    "self._take(unit, run, reason)": "there is no evidence, and the restart goes on",
    "self._reported(self._change_if_needed())": "logged; the plan stays",
    "self._reported(work)": "logged; the plan stays",
    "self._reload.run()": "looking after nginx's list begins anew, with both of its tasks",
    "self._ask_silent()": "looking after nginx's list begins anew, with both of its tasks",
    "self._follow()": "it only looks at reports and begins the change",
    "delivery.run()": "it only takes from its queue; what delivers is contained",
    "self._beats.run()": "it is no part of the group",
    "self._keep_asking(probes.readiness)": "the probes of the run begin anew",
    "self._keep_watch(probes.liveness)": "the probes of the run begin anew",
    "self._look_for_progress(probe)": "the probes of the run begin anew",
}


def test_of_every_task_it_is_decided_what_a_defect_in_it_does():
    found = set()
    for path in SOURCE.rglob("*.py"):
        if path.is_relative_to(SOURCE / "mock") or path.is_relative_to(SOURCE / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".create_task"):
                found.add(ast.unparse(node.args[0]))
    assert found == DECIDED.keys()


@pytest.fixture
def log():
    return quiet()


@pytest.fixture
def contained(log, monkeypatch):
    """Defects of an agent that rests no time after one."""
    monkeypatch.setattr(defects_module, "REST_S", 0.0)
    return Defects(log[0])


def fail(*_, **__):
    raise ZeroDivisionError("as planned")


async def test_a_defect_is_logged_once_with_its_traceback(contained, log):
    for _ in range(3):
        with contained.contained("here"):
            fail()
    (entry,) = log[1]
    assert (entry["where"], entry["cause"]) == ("here", "ZeroDivisionError('as planned')")
    assert "in fail" in entry["trace"]


async def test_work_begins_anew_until_it_ends_well_and_can_be_cancelled(contained):
    tries = []

    async def work():
        tries.append(1)
        if len(tries) < 3:
            fail()

    await contained.kept_up("here", work)
    assert len(tries) == 3
    task = asyncio.create_task(contained.kept_up("here", asyncio.Event().wait))
    await settle()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


@pytest.fixture
async def tasks():
    async with asyncio.TaskGroup() as made:
        yield made


@pytest.fixture
async def node(assignment, tasks, tmp_path, contained):
    """The units of node0; ``fails`` makes the agent around them fail at news of one."""
    failing = set()

    def changed(unit, transition):
        if unit in failing:
            fail()

    made = FakeNode(assignment("node0").units, tasks, tmp_path, changed, contained)
    made.serve()
    yield SimpleNamespace(bed=made, failing=failing)
    await made.close()


async def test_a_defect_at_the_news_of_one_unit_stops_neither_it_nor_another(node):
    node.failing.add("etcd")
    await node.bed.up("etcd", "prefill-0")
    assert (node.bed.state("etcd"), node.bed.state("prefill-0")) == ("RUNNING", "RUNNING")
    for unit in ("etcd", "prefill-0"):
        node.bed.runners[unit].tell(events.Stop())
    await settle()
    assert (node.bed.state("etcd"), node.bed.state("prefill-0")) == ("STOPPED", "STOPPED")
    node.bed.runners["etcd"].tell(events.Start())
    await settle()
    assert node.bed.state("etcd") == "RUNNING"


async def test_a_defect_at_a_start_is_a_failed_start(node, monkeypatch):
    monkeypatch.setattr(node.bed.around, "before_spawn", fail)
    await node.bed.up("etcd")
    assert node.bed.state("etcd") == "BACKOFF"


async def test_the_probes_of_a_run_begin_anew_after_a_defect(node, monkeypatch):
    calls, run = [], watch.Watch.run

    async def failing(self):
        calls.append(1)
        if len(calls) == 1:
            fail()
        await run(self)

    monkeypatch.setattr(watch.Watch, "run", failing)
    await node.bed.up("etcd")
    assert len(calls) == 2
    assert node.bed.state("etcd") == "RUNNING"


async def test_the_end_of_a_run_is_proven_although_the_first_proof_fails(node, monkeypatch):
    await node.bed.up("etcd")
    reaper, calls = node.bed.host.reaper, []

    async def end(trace, within=0.0):
        calls.append(1)
        if len(calls) == 1:
            fail()
        return []

    monkeypatch.setattr(reaper, "end", end)
    node.bed.runners["etcd"].tell(events.Stop())
    await settle()
    assert len(calls) == 2
    assert node.bed.state("etcd") == "STOPPED"


async def test_a_part_that_fails_keeps_no_other_from_reacting(contained):
    due, order = asyncio.Event(), []
    parts = (fail, lambda: order.append("second"))
    task = asyncio.create_task(Reactions(due, parts, contained).run())
    for _ in range(2):
        due.set()
        await settle()
    task.cancel()
    assert order == ["second", "second"]


async def test_a_part_that_fails_at_news_of_a_peer_keeps_no_other_from_hearing_it(
    plan, digest, report, assignment, tasks, contained
):
    heard, network = [], FakeNetwork(plan)
    peers = Peers(plan, digest, (), TOKEN, network, tasks)
    gates = Gates(assignment("node0"), OwnReport(assignment("node0"), Bell()), peers, tasks, fail)
    news = PeerNews(
        plan, peers, gates, [fail], [fail, lambda peer: heard.append(peer.node)], Bell(),
        asyncio.Event(), contained,
    )  # fmt: skip
    peers.listen(news.changed)
    peers.follow(["node2"])
    await network.publish(report("node2", units=("decode-0",)))
    await settle()
    await peers.close()
    assert heard == ["node2"]


async def test_a_hook_that_fails_in_an_unknown_way_has_failed_and_gets_the_next_event(log):
    got = []

    async def deliver(event):
        got.append(event)
        if event == b"1":
            fail()

    delivery = Delivery("hooks.0", deliver, log[0])
    task = asyncio.create_task(delivery.run())
    delivery.take(b"1")
    delivery.take(b"2")
    await delivery.finish()
    task.cancel()
    assert got == [b"1", b"2"]
    assert log[1][0]["cause"] == "ZeroDivisionError('as planned')"
