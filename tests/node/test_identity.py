"""Which node of the plan this machine is."""

import pytest

from pdsup.errors import SupervisorError
from pdsup.node.identity import own_node


def test_a_given_name_wins_over_what_slurm_and_the_host_say(make_plan):
    plan = make_plan("a", "b", "c")
    assert own_node(plan, "b", {"SLURMD_NODENAME": "c"}, "a") == "b"


def test_slurms_name_of_the_node_wins_over_the_hosts(make_plan):
    assert own_node(make_plan("a", "b"), None, {"SLURMD_NODENAME": "b"}, "a") == "b"


def test_without_slurm_it_is_the_hosts_name(make_plan):
    assert own_node(make_plan("a", "b"), None, {}, "a") == "a"


@pytest.mark.parametrize(
    ("in_plan", "hostname"), [("gb1", "gb1.cluster.example"), ("gb1.cluster.example", "gb1")]
)
def test_a_hosts_short_name_matches_its_long_one(make_plan, in_plan, hostname):
    assert own_node(make_plan("other", in_plan), None, {}, hostname) == in_plan


@pytest.mark.parametrize(
    ("in_plan", "hostname"),
    [("gb1.red", "gb1.blue"), ("10.0.0.1", "10.0.0.2"), ("gb1", "gb10"), ("gb10", "gb1")],
)
def test_names_that_only_look_alike_are_different_machines(make_plan, in_plan, hostname):
    with pytest.raises(SupervisorError):
        own_node(make_plan(in_plan), None, {}, hostname)


def test_a_short_name_of_two_nodes_is_none(make_plan):
    with pytest.raises(SupervisorError):
        own_node(make_plan("gb1.red", "gb1.blue"), None, {}, "gb1")


def test_a_given_name_must_be_the_plans_own(make_plan):
    with pytest.raises(SupervisorError):
        own_node(make_plan("gb1"), "gb1.cluster.example", {}, "gb1")


def test_a_name_the_plan_does_not_have_is_named_with_those_it_has(make_plan):
    with pytest.raises(SupervisorError) as caught:
        own_node(make_plan("a", "b"), None, {}, "login")
    assert str(caught.value) == (
        "cannot find node login in plan bench: it has a, b; choose one with --node"
    )


def test_a_long_plan_is_not_listed_to_its_end(make_plan):
    names = [f"node{n}" for n in range(1000)]
    with pytest.raises(SupervisorError, match=r"it has node0, .*, node7 \.\.\.;"):
        own_node(make_plan(*names), None, {}, "login")
