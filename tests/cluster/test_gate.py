"""Gates of one node, from its own units, the reports of others, and their ports."""

import asyncio
import contextlib
import socket
from types import SimpleNamespace

import pytest

from pdsup.bell import Bell
from pdsup.cluster import gate
from pdsup.cluster.gate import Gates
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import Peer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(gate, "RETRY_S", 0.005)


@pytest.fixture
def gates_of(assignment, unit_report):
    @contextlib.asynccontextmanager
    async def made(node="node3"):
        publisher = OwnReport(assignment(node), Bell())
        peers, news = {}, []
        async with asyncio.TaskGroup() as tasks:
            gates = Gates(
                assignment(node), publisher, SimpleNamespace(peers=peers), tasks,
                lambda: news.append(1),
            )  # fmt: skip
            try:
                yield SimpleNamespace(gates=gates, publisher=publisher, peers=peers, news=news)
            finally:
                await gates.close()

    return made


async def test_units_of_this_node_are_known_by_what_it_reports_itself(gates_of, unit_report):
    async with gates_of() as k:
        assert k.gates.look("decode-1") is None
        k.publisher.publish(unit_report("decode-1", "STARTING"))
        assert k.gates.reason("benchmark", first=True) == "waits for decode-1 (STARTING on node3)"
        k.publisher.publish(unit_report("decode-1"))
        assert k.gates.reason("benchmark", first=True) is None


@pytest.mark.parametrize("problem", ["its agent runs another plan", "connection refused"])
async def test_units_of_a_node_that_can_not_be_relied_on_are_not_known(gates_of, report, problem):
    async with gates_of() as k:
        assert k.gates.look("prefill-1") is None
        k.peers["node1"] = Peer("node1", report("node1"), problem=None)
        assert k.gates.look("prefill-1").state == "RUNNING"
        k.peers["node1"] = Peer("node1", report("node1"), problem=problem)
        assert k.gates.look("prefill-1") is None


async def test_the_ports_that_a_waiting_unit_misses_are_tried_and_their_answers_told(
    gates_of, until, plan, report
):
    async with gates_of("node0") as k:
        k.peers["node2"] = Peer("node2", report("node2", units=("decode-0",)), problem=None)
        assert "any decode" in k.gates.reason("router-0", first=False)
        with socket.create_server((plan.address["node2"], 30000)):
            k.gates.inquire([("router-0", False)])
            await until(lambda: k.news)
            assert "decode" not in k.gates.reason("router-0", first=False)


async def test_a_port_is_forgotten_when_its_unit_no_longer_runs(
    gates_of, until, plan, report, unit_report
):
    async with gates_of("node0") as k:
        running = Peer("node2", report("node2", units=("decode-0",)), problem=None)
        k.peers["node2"] = running
        with socket.create_server((plan.address["node2"], 30000)):
            k.gates.inquire([("router-0", False)])
            await until(lambda: k.news)
        k.gates.forget(["decode-0"])
        assert "decode" not in k.gates.reason("router-0", first=False)
        k.peers["node2"] = Peer("node2")
        k.gates.forget(["decode-0"])
        k.peers["node2"] = running
        assert "any decode" in k.gates.reason("router-0", first=False)
