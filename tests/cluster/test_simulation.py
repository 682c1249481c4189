"""Whole clusters in virtual time: that they converge, and what that costs each agent."""

import os
import statistics

import pytest

from pdsup.cluster import peers
from tests.cluster.simulation import World, plan

# The large one takes most of a minute: PDSUP_TEST_NODES=1000.
LARGE = int(os.environ.get("PDSUP_TEST_NODES", "200"))


def calm(world):
    """Runs until nothing is under way, and looks meanwhile that no gang is mixed."""
    for _ in range(400):
        world.run(0.5)
        assert world.mixed() == []
    return world


@pytest.fixture
def world():
    return calm(World(plan(64, 4, span=4, routers=4)))


def test_64_nodes_come_up_and_nothing_is_started_twice(world):
    assert world.all_run()
    assert world.starts == len(world.plan.units)


def test_gangs_that_lose_ranks_begin_again_and_no_other_does(world):
    before = world.starts
    for name in ("w0-0.0", "w8-1.3", "w8-1.1", "w60-2.2"):
        world.unit(name).die()
    calm(world)
    assert world.all_run()
    assert world.starts == before + 3 * 4


def test_nodes_that_lose_power_hold_their_gangs_until_they_are_back(world):
    before = world.starts
    world.lose("n5")
    world.unit("w4-0.0").die()
    calm(world)
    assert not world.unit("w4-0.0").lives
    assert world.unit("w4-1.0").lives  # nobody ends what may still be served by the rest
    world.boot("n5")
    calm(world)
    assert world.all_run()
    assert world.starts == before + 4 * 4


def test_the_first_node_may_be_lost_too(world):
    world.lose("n0")
    calm(world)
    world.boot("n0")
    calm(world)
    assert world.all_run()


def test_a_node_that_was_cut_off_ends_only_what_its_gangs_gave_up_meanwhile(world):
    before = world.starts
    world.cut("n9")
    world.unit("w8-0.0").die()
    calm(world)
    assert world.unit("w8-0.1").lives  # it has not heard of it
    world.heal("n9")
    calm(world)
    assert world.all_run()
    assert world.starts == before + 4


def test_a_hundred_random_deaths_losses_and_cuts_never_mix_epochs_and_end_whole(world):
    chance, away = world.chance, set()
    for _ in range(100):
        node = f"n{chance.randrange(64)}"
        if node in away:
            away.discard(node)
            world.heal(node) if node in world.agents else world.boot(node)
        elif chance.random() < 0.3 and len(away) < 5:
            away.add(node)
            chance.choice((world.cut, world.lose))(node)
        else:
            chance.choice(list(world.agents[node].units.values())).die()
        world.run(chance.choice((0.001, 0.01, 0.3, 2.0)))
        assert world.mixed() == []
    for node in away:
        world.heal(node) if node in world.agents else world.boot(node)
    calm(world)
    assert world.all_run()


@pytest.mark.parametrize("nodes", [64, 1000])
def test_whatever_one_agent_tells_all_know_after_two_steps(nodes):
    made = plan(nodes, 1)
    knows = {made.nodes[-1].name}
    for _ in range(2):
        knows |= {node.name for node in made.nodes if peers.followed(made, node.name) & knows}
    assert knows == {node.name for node in made.nodes}


def work(nodes):
    """What a node without routers had to do until all runs: reports heard, looks, decisions."""
    world = World(plan(nodes, 4, span=4, routers=2))
    world.run(200.0)
    assert world.all_run()
    plain = list(world.agents.values())[4:]
    return [
        statistics.mean(getattr(agent, what) for agent in plain)
        for what in ("heard", "looks", "decisions")
    ]


def test_what_an_agent_has_to_do_does_not_grow_with_the_number_of_nodes():
    few, many = work(32), work(128)
    for small, large in zip(few, many, strict=True):
        assert large <= 1.1 * small + 1


def test_a_large_cluster_comes_up_loses_much_and_comes_back():
    world = World(plan(LARGE, 8, span=2, routers=2))
    world.run(200.0)
    assert world.all_run()
    for number in range(0, LARGE, 10):
        world.unit(f"w{number}-0.1").die()
    world.lose("n3")
    world.run(30.0)
    world.boot("n3")
    world.run(200.0)
    assert (world.all_run(), world.mixed()) == (True, [])
