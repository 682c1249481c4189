"""Which nodes a node follows."""

import dataclasses

from pdsup.cluster import peers


def test_the_first_node_follows_all_others(plan):
    assert peers.followed(plan, "node0") == {"node1", "node2", "node3"}


def test_every_node_follows_the_first_one_also_without_units(plan):
    assert peers.followed(plan, "node2") == {"node0"}
    assert peers.followed(dataclasses.replace(plan, units=()), "node1") == {"node0"}


def test_a_node_follows_the_nodes_of_what_its_units_need_or_balance_over(plan):
    moved = {"router-0": "node1", "nginx": "node2"}
    units = tuple(dataclasses.replace(u, node=moved.get(u.name, u.node)) for u in plan.units)
    plan = dataclasses.replace(plan, units=units)
    assert peers.followed(plan, "node1") == {"node0", "node2", "node3"}
    assert peers.followed(plan, "node2") == {"node0", "node1"}
    assert peers.followed(plan, "node3") == {"node0"}


def test_a_plan_of_one_node_follows_nobody(plan):
    alone = dataclasses.replace(plan, nodes=plan.nodes[:1], units=plan.units[:1])
    assert peers.followed(alone, "node0") == set()
