"""Gates of one node, from its own units, the reports of others, and their ports."""

import asyncio
import contextlib
import dataclasses
import socket
from types import SimpleNamespace

import pytest

from pdsup.bell import Bell
from pdsup.cluster import gate
from pdsup.cluster.gate import Gates
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.peers import Peers
from tests.bed.hosts import settle
from tests.bed.network import TOKEN, FakeNetwork


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(gate, "RETRY_S", 0.005)


@pytest.fixture
def gates_of(plan, digest, assignment):
    @contextlib.asynccontextmanager
    async def made(node="node3"):
        publisher, network, news = OwnReport(assignment(node), Bell()), FakeNetwork(plan), []
        async with asyncio.TaskGroup() as tasks:
            peers = Peers(plan, digest, (), TOKEN, network, tasks)
            gates = Gates(assignment(node), publisher, peers, tasks, lambda: news.append(1))
            peers.follow(other.name for other in plan.nodes if other.name != node)

            async def hear(report):
                await network.publish(report)
                await settle()

            async def lose(other):
                await network.cut(other)
                await settle()

            try:
                yield SimpleNamespace(
                    gates=gates, publisher=publisher, news=news, hear=hear, lose=lose
                )
            finally:
                await gates.close()
                await peers.close()

    return made


async def test_units_of_this_node_are_known_by_what_it_reports_itself(gates_of, unit_report):
    async with gates_of() as k:
        assert k.gates.look("decode-1") is None
        k.publisher.publish(unit_report("decode-1", "STARTING"))
        assert k.gates.reason("benchmark", first=True) == "waits for decode-1 (STARTING on node3)"
        k.publisher.publish(unit_report("decode-1"))
        assert k.gates.reason("benchmark", first=True) is None


async def test_units_of_a_node_with_another_plan_are_not_known(gates_of, report):
    async with gates_of() as k:
        assert k.gates.look("prefill-1") is None
        await k.hear(report("node1"))
        assert k.gates.look("prefill-1").state == "RUNNING"
        await k.hear(report("node1", sequence=2, plan="e" * 64))
        assert k.gates.look("prefill-1") is None


async def test_units_of_a_node_that_can_not_be_reached_are_not_known(gates_of, report):
    async with gates_of() as k:
        assert not k.gates.has_asked("prefill-1")
        await k.hear(report("node1"))
        assert k.gates.look("prefill-1").state == "RUNNING"
        await k.lose("node1")
        assert k.gates.look("prefill-1") is None
        assert k.gates.has_asked("prefill-1")


async def test_the_ports_that_a_waiting_unit_misses_are_tried_and_their_answers_told(
    gates_of, until, plan, report
):
    async with gates_of("node0") as k:
        await k.hear(report("node2", units=("decode-0",)))
        assert "any decode" in k.gates.reason("router-0", first=False)
        with socket.create_server((plan.address["node2"], 30000)):
            k.gates.inquire([("router-0", False)])
            await until(lambda: k.news)
            assert "decode" not in k.gates.reason("router-0", first=False)


async def test_a_port_is_forgotten_when_its_unit_no_longer_runs(
    gates_of, until, plan, report, unit_report
):
    async with gates_of("node0") as k:
        running = report("node2", units=("decode-0",))
        await k.hear(running)
        with socket.create_server((plan.address["node2"], 30000)):
            k.gates.inquire([("router-0", False)])
            await until(lambda: k.news)
        k.gates.forget(["decode-0"])
        assert "decode" not in k.gates.reason("router-0", first=False)
        await k.lose("node2")
        k.gates.forget(["decode-0"])
        await k.hear(dataclasses.replace(running, sequence=2))
        await until(lambda: k.gates.look("decode-0"))
        assert "any decode" in k.gates.reason("router-0", first=False)
