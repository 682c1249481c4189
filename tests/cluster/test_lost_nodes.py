"""Which nodes the first one misses."""

import dataclasses

import pytest

from pdsup.cluster.lost_nodes import LostNodes
from pdsup.cluster.report import Peer
from pdsup.units import ledger
from pdsup.units.ledger import Ledger, LedgerFile


@pytest.fixture
def lost_nodes(assignment, tmp_path):
    """Makes them, one after the other on the same node; ``told`` is what they all told."""
    told = []

    def make(node="node0", inherited=False):
        left = ledger.read(tmp_path) if inherited else Ledger()
        books = LedgerFile(str(tmp_path), "digest", left)
        made = LostNodes(assignment(node), told.append, books, left.lost)
        made.told = told
        return made

    return make


@pytest.fixture
def lost(lost_nodes):
    return lost_nodes()


@pytest.fixture
def peer(report):
    """What is known of a node: there, or why not."""

    def make(problem=None, failing=None, **report_of):
        there = dataclasses.replace(report(node="node2"), **report_of)
        return Peer("node2", there, received=1.0, heard=1.0, failing=failing, problem=problem)

    return make


def events(lost):
    return [(one.event, one.facts["node"], one.reason) for one in lost.told]


def test_a_node_that_can_not_be_asked_any_more_is_lost_once_and_back_once(lost, peer):
    gone = peer("cannot reach its agent: timed out", 5.0)
    for seen in (peer(), gone, gone, peer(), peer()):
        lost.peer_changed(seen)
    assert events(lost) == [
        ("NodeLost", "node2", "node2: cannot reach its agent: timed out"),
        ("NodeBack", "node2", "node2 answers again"),
    ]
    assert {(one.unit, one.run) for one in lost.told} == {(None, None)}
    assert lost.told[0].facts["problem"] == "cannot reach its agent: timed out"


@pytest.mark.parametrize(
    "then",
    [
        {"problem": None, "failing": 5.0},  # a hiccup
        {"problem": "its agent runs another plan"},
        {"problem": "cannot reach its agent: refused", "failing": 5.0, "ending": "SIGTERM"},
    ],
)
def test_a_node_that_answers_or_has_ended_is_not_lost(lost, peer, then):
    lost.peer_changed(peer())
    lost.peer_changed(peer(**then))
    assert events(lost) == []


def test_a_node_that_was_never_there_is_not_lost(lost, peer):
    lost.peer_changed(Peer("node2", failing=1.0, problem="cannot reach its agent: refused"))
    assert events(lost) == []


def test_other_nodes_than_the_first_leave_it_to_that_one(lost_nodes, peer):
    other = lost_nodes("node1")
    other.peer_changed(peer())
    other.peer_changed(peer("cannot reach its agent", 5.0))
    assert events(other) == []


@pytest.mark.parametrize(("inherited", "count"), [(True, 2), (False, 1)])
def test_an_agent_that_takes_over_tells_that_a_node_is_back(lost_nodes, peer, inherited, count):
    first = lost_nodes()
    first.peer_changed(peer())
    first.peer_changed(peer("cannot reach its agent", 5.0))
    second = lost_nodes(inherited=inherited)
    second.peer_changed(peer())
    assert [event for event, _, _ in events(second)] == ["NodeLost", "NodeBack"][:count]
