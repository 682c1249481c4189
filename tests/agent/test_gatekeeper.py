"""Gates of one node, from its own units, the reports of others, and the ways to them."""

import asyncio
import contextlib
import socket
from types import SimpleNamespace

import pytest

from pdsup.bell import Bell
from pdsup.cluster import gate as connector_module
from pdsup.cluster.gate import Gates
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import Peer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(connector_module, "RETRY_S", 0.005)


@pytest.fixture
def keeping(assignment, unit_report):
    @contextlib.asynccontextmanager
    async def made(node="node3"):
        publisher = OwnReport(assignment(node), Bell())
        peers, news = {}, []
        async with asyncio.TaskGroup() as tasks:
            keeper = Gates(
                assignment(node), publisher, SimpleNamespace(peers=peers), tasks,
                lambda: news.append(1),
            )  # fmt: skip
            try:
                yield SimpleNamespace(keeper=keeper, publisher=publisher, peers=peers, news=news)
            finally:
                await keeper.close()

    return made


async def test_units_of_this_node_are_known_by_what_it_reports_itself(keeping, unit_report):
    async with keeping() as k:
        assert k.keeper.look("decode-1") is None
        k.publisher.publish(unit_report("decode-1", "STARTING"))
        assert k.keeper.reason("benchmark", first=True) == "waits for decode-1 (STARTING on node3)"
        k.publisher.publish(unit_report("decode-1"))
        assert k.keeper.reason("benchmark", first=True) is None


@pytest.mark.parametrize("problem", ["its agent runs another plan", "connection refused"])
async def test_units_of_a_node_that_can_not_be_relied_on_are_not_known(keeping, report, problem):
    async with keeping() as k:
        assert k.keeper.look("prefill-1") is None
        k.peers["node1"] = Peer("node1", report("node1"), problem=None)
        assert k.keeper.look("prefill-1").state == "RUNNING"
        k.peers["node1"] = Peer("node1", report("node1"), problem=problem)
        assert k.keeper.look("prefill-1") is None


async def test_the_ways_that_a_waiting_unit_misses_are_tried_and_their_answers_told(
    keeping, until, plan, report
):
    async with keeping("node0") as k:
        k.peers["node2"] = Peer("node2", report("node2", units=("decode-0",)), problem=None)
        assert "any decode" in k.keeper.reason("router-0", first=False)
        with socket.create_server((plan.address["node2"], 30000)):
            k.keeper.inquire([("router-0", False)])
            await until(lambda: k.news)
            assert "decode" not in k.keeper.reason("router-0", first=False)


async def test_a_way_is_forgotten_when_its_unit_does_not_run_any_more(
    keeping, until, plan, report, unit_report
):
    async with keeping("node0") as k:
        running = Peer("node2", report("node2", units=("decode-0",)), problem=None)
        k.peers["node2"] = running
        with socket.create_server((plan.address["node2"], 30000)):
            k.keeper.inquire([("router-0", False)])
            await until(lambda: k.news)
        k.keeper.forget(["decode-0"])
        assert "decode" not in k.keeper.reason("router-0", first=False)
        k.peers["node2"] = Peer("node2")
        k.keeper.forget(["decode-0"])
        k.peers["node2"] = running
        assert "any decode" in k.keeper.reason("router-0", first=False)
