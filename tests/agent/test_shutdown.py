"""Why an agent ends, and what becomes of its units."""

import contextlib
import os
from types import SimpleNamespace

import pytest

from pdsup.agent.shutdown import HandOver, Shutdown
from pdsup.bell import Bell
from pdsup.cluster.own_report import OwnReport
from pdsup.cluster.report import Peer
from pdsup.errors import SupervisorError
from pdsup.units.ledger import Ledger, LedgerFile, read
from pdsup.units.process.guardian_link import REPLACE, GuardianLink
from tests.bed.hosts import FakeSpawner
from tests.bed.log import quiet


class Guardian:
    """The other end of a real link to a guardian."""

    def __init__(self):
        heard, tells = os.pipe()
        self.hears, said = os.pipe()
        os.set_blocking(self.hears, False)
        self.link = GuardianLink(f"{heard},{said}")
        self._ends = (heard, tells, self.hears, said)

    def said(self):
        with contextlib.suppress(BlockingIOError):
            return os.read(self.hears, 100)
        return b""

    def close(self):
        for end in self._ends:
            os.close(end)


@pytest.fixture
def node(plan, assignment, tmp_path):
    """One that may end: ``known`` is what nodes report, ``noted`` what a successor would read."""
    known, guardian, (log, _) = {}, Guardian(), quiet()
    own_report = OwnReport(assignment("node3"), Bell())
    ledger = LedgerFile(str(tmp_path), "", Ledger())
    shutdown = Shutdown(plan, own_report, ledger, known.get, log)

    def hand_over(link=guardian.link):
        return HandOver("node3", link, FakeSpawner(), shutdown, log)

    yield SimpleNamespace(
        shutdown=shutdown, own_report=own_report, known=known, hand_over=hand_over,
        said=guardian.said, noted=lambda: read(tmp_path).ending,
    )  # fmt: skip
    ledger.close()
    guardian.close()


async def test_an_end_is_reported_noted_for_a_successor_and_happens(node):
    node.shutdown.begin("SIGTERM", of_cluster=False)
    await node.shutdown.wait()
    assert (node.own_report.ending, node.own_report.ends_cluster) == ("SIGTERM", False)
    assert node.noted() == ("SIGTERM", False)
    assert not node.shutdown.leaves_units


async def test_the_first_reason_for_the_end_of_a_node_stays_and_a_cluster_s_end_is_more(node):
    for reason in ("first", "second"):
        node.shutdown.begin(reason, of_cluster=False)
        assert node.noted() == ("first", False)
    node.shutdown.begin("third", of_cluster=True)
    assert node.noted() == ("third", True)
    assert node.own_report.ends_cluster


async def test_a_benchmark_that_has_ended_ends_the_cluster_once(node, unit_report):
    node.known["benchmark"] = unit_report("benchmark")
    node.shutdown.react()
    assert node.noted() is None
    node.known["benchmark"] = unit_report("benchmark", "EXITED", reason="exited with status 0")
    node.shutdown.react()
    assert node.noted() == ("benchmark is EXITED: exited with status 0", True)
    version = node.own_report.version
    node.shutdown.react()
    assert node.own_report.version == version


async def test_a_node_that_ends_the_cluster_is_followed_and_one_that_ends_alone_is_not(
    node, report
):
    node.shutdown.peer_changed(Peer("node1", report("node1", ending="SIGTERM"), problem=None))
    assert node.noted() is None
    ends = report("node1", ending="shutdown requested", ends_cluster=True)
    node.shutdown.peer_changed(Peer("node1", ends, problem=None))
    assert node.noted() == ("shutdown requested", True)
    version = node.own_report.version
    node.shutdown.peer_changed(Peer("node1", ends, problem=None))
    assert node.own_report.version == version


async def test_an_agent_that_hands_over_leaves_its_units_and_says_so_to_its_guardian(node):
    hand_over = node.hand_over()
    await hand_over.check()
    hand_over.begin()
    await node.shutdown.wait()
    assert (node.shutdown.leaves_units, node.said(), node.noted()) == (True, REPLACE, None)


async def test_an_agent_whose_units_end_does_not_hand_over(node):
    node.shutdown.begin("SIGTERM", of_cluster=False)
    with pytest.raises(SupervisorError, match="it is ending"):
        node.hand_over().begin()
    assert (node.shutdown.leaves_units, node.said()) == (False, b"")


async def test_an_agent_without_a_guardian_can_not_hand_over(node):
    with pytest.raises(SupervisorError, match="it has no guardian"):
        await node.hand_over(GuardianLink(None)).check()


async def test_an_agent_whose_guardian_dies_before_it_hands_over_keeps_its_units(node):
    """Its successor may be on trial for seconds, and units that leave take minutes to stop."""
    hand_over = node.hand_over(GuardianLink(None))
    with pytest.raises(SupervisorError, match="has no guardian"):
        hand_over.begin()
    assert not node.shutdown.leaves_units
