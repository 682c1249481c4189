"""Which nodes the first one misses."""

import dataclasses

import pytest

from supervisor.agent.overseer import Overseer
from supervisor.cluster.report import Peer


@pytest.fixture
def overseer(plan):
    told = []
    made = Overseer(plan, plan.nodes[0].name, told.append)
    made.told = told
    return made


@pytest.fixture
def peer(report):
    """What is known of a node: there, or why not."""

    def make(problem=None, failing=None, **report_of):
        there = dataclasses.replace(report(node="node2"), **report_of)
        return Peer("node2", there, received=1.0, heard=1.0, failing=failing, problem=problem)

    return make


def events(overseer):
    return [(one.event, one.facts["node"], one.reason) for one in overseer.told]


def test_a_node_that_can_not_be_asked_any_more_is_lost_once_and_back_once(overseer, peer):
    gone = peer("its agent can't be asked: timed out", 5.0)
    for seen in (peer(), gone, gone, peer(), peer()):
        overseer.follow(seen)
    assert events(overseer) == [
        ("NodeLost", "node2", "node2: its agent can't be asked: timed out"),
        ("NodeBack", "node2", "node2 answers again"),
    ]
    assert {(one.unit, one.run) for one in overseer.told} == {(None, None)}


@pytest.mark.parametrize(
    "then",
    [
        {"problem": None, "failing": 5.0},  # a hiccup
        {"problem": "its agent runs another plan"},
        {"problem": "its agent can't be asked: refused", "failing": 5.0, "ending": "SIGTERM"},
    ],
)
def test_a_node_that_answers_or_has_ended_is_not_lost(overseer, peer, then):
    overseer.follow(peer())
    overseer.follow(peer(**then))
    assert events(overseer) == []


def test_a_node_that_was_never_there_is_not_lost(overseer, peer):
    overseer.follow(Peer("node2", failing=1.0, problem="its agent can't be asked: refused"))
    assert events(overseer) == []


def test_other_nodes_than_the_first_leave_it_to_that_one(plan, peer):
    told = []
    other = Overseer(plan, plan.nodes[1].name, told.append)
    other.follow(peer())
    other.follow(peer("its agent can't be asked", 5.0))
    assert told == []
