"""The addresses that ``pdsup up`` gives to the nodes of a recipe."""

from __future__ import annotations

import socket
import threading

import pytest

from pdsup.cli.loopback import alone, loopback_nodes, refuse_busy_ports
from pdsup.errors import SupervisorError
from pdsup.plan.model import Node, Plan, PlanUnit


def plan_of(address: str) -> Plan:
    unit = PlanUnit(name="a", kind="service", node="n", command=("x",), ports={"http": 30080})
    return Plan(plan=1, name="p", nodes=(Node(name="n", address=address),), units=(unit,))


def test_a_block_of_addresses_where_a_port_of_the_plan_is_taken_is_passed_by() -> None:
    (free,) = loopback_nodes(plan_of("n"))
    with socket.create_server((free.address, 30080)):
        (other,) = loopback_nodes(plan_of("n"))
    assert other.address != free.address


def test_a_port_that_an_agent_will_listen_on_counts_too() -> None:
    (free,) = loopback_nodes(plan_of("n"))
    with socket.create_server((free.address, 9440)):
        (other,) = loopback_nodes(plan_of("n"))
    assert other.address != free.address


def test_nodes_are_named_in_order_and_have_addresses_of_their_own() -> None:
    nodes = tuple(Node(name=f"x{i}", address="x") for i in range(3))
    found = loopback_nodes(Plan(plan=1, name="p", nodes=nodes, units=()))
    assert [node.name for node in found] == ["node0", "node1", "node2"]
    assert len({node.address for node in found}) == 3


def test_more_nodes_than_fit_are_refused() -> None:
    nodes = tuple(Node(name=f"x{i}", address="x") for i in range(251))
    with pytest.raises(SupervisorError, match="251 nodes on one machine"):
        loopback_nodes(Plan(plan=1, name="p", nodes=nodes, units=()))


def test_a_plan_for_other_machines_is_refused_with_what_to_do() -> None:
    with pytest.raises(SupervisorError, match="give the recipe"):
        refuse_busy_ports(plan_of("192.0.2.1"))


def test_whoever_looks_for_addresses_waits_for_another_who_does():
    entered = threading.Event()

    def second() -> None:
        with alone():
            entered.set()

    waiting = threading.Thread(target=second)
    with alone():
        waiting.start()
        assert not entered.wait(0.2)
    assert entered.wait(60)
    waiting.join()
