"""Why an agent ends, and what becomes of its units."""

from types import SimpleNamespace

import pytest

from pdsup.agent.shutdown import HandOver, Shutdown
from pdsup.bell import Bell
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import Peer
from pdsup.errors import SupervisorError
from pdsup.units.process.guardian_link import REPLACE

LOG = SimpleNamespace(info=lambda *_, **__: None)


@pytest.fixture
def node(plan, assignment, unit_report):
    """One that may end: ``known`` is what nodes report, ``noted`` what a successor would read."""
    noted, said, known = [], [], {}
    own_report = OwnReport(assignment("node3"), Bell())
    ledger = SimpleNamespace(note_end=lambda reason, of_cluster: noted.append((reason, of_cluster)))
    shutdown = Shutdown(plan, own_report, ledger, known.get, LOG)
    guardian = SimpleNamespace(pid=1, say=said.append)

    async def complaint(*_):
        return None

    spawner = SimpleNamespace(complaint=complaint)
    return SimpleNamespace(
        shutdown=shutdown, own_report=own_report, noted=noted, said=said, known=known,
        guardian=guardian, hand_over=HandOver("node3", guardian, spawner, shutdown, LOG),
    )  # fmt: skip


async def test_an_end_is_reported_noted_for_a_successor_and_happens(node):
    node.shutdown.begin("SIGTERM", of_cluster=False)
    await node.shutdown.wait()
    assert (node.own_report.ending, node.own_report.ends_cluster) == ("SIGTERM", False)
    assert node.noted == [("SIGTERM", False)]
    assert not node.shutdown.leaves_units


async def test_the_first_reason_for_the_end_of_a_node_stays_and_a_cluster_s_end_is_more(node):
    for reason, of_cluster in (("first", False), ("second", False), ("third", True)):
        node.shutdown.begin(reason, of_cluster=of_cluster)
    assert node.noted == [("first", False), ("third", True)]
    assert node.own_report.ends_cluster


async def test_a_benchmark_that_has_ended_ends_the_cluster_once(node, unit_report):
    node.known["benchmark"] = unit_report("benchmark")
    node.shutdown.react()
    assert node.noted == []
    node.known["benchmark"] = unit_report("benchmark", "EXITED", reason="exited with status 0")
    for _ in range(2):
        node.shutdown.react()
    assert node.noted == [("benchmark is EXITED: exited with status 0", True)]


async def test_a_node_that_ends_the_cluster_is_followed_and_one_that_ends_alone_is_not(
    node, report
):
    node.shutdown.peer_changed(Peer("node1", report("node1", ending="SIGTERM"), problem=None))
    assert node.noted == []
    ends = report("node1", ending="shutdown requested", ends_cluster=True)
    for _ in range(2):
        node.shutdown.peer_changed(Peer("node1", ends, problem=None))
    assert node.noted == [("node1 ends the cluster: shutdown requested", True)]


async def test_an_agent_that_hands_over_leaves_its_units_and_says_so_to_its_guardian(node):
    await node.hand_over.check()
    node.hand_over.begin()
    await node.shutdown.wait()
    assert (node.shutdown.leaves_units, node.said, node.noted) == (True, [REPLACE], [])


async def test_an_agent_whose_units_end_does_not_hand_over(node):
    node.shutdown.begin("SIGTERM", of_cluster=False)
    with pytest.raises(SupervisorError, match="it is ending"):
        node.hand_over.begin()
    assert (node.shutdown.leaves_units, node.said) == (False, [])


async def test_an_agent_without_a_guardian_can_not_hand_over(node):
    node.guardian.pid = None
    with pytest.raises(SupervisorError, match="it has no guardian"):
        await node.hand_over.check()
