"""Which address of a node a recipe's ``network`` table means."""

from __future__ import annotations

import socket

import pytest

from pdsup.errors import InvalidDocument, SupervisorError
from pdsup.plan.compile import load
from pdsup.plan.compile.addresses import choose
from pdsup.plan.compile.nodes import parse_nodes
from pdsup.plan.recipe.tables import Network
from tests.plan.recipes import GOOD

NAMES = {
    "a": ["10.0.0.1", "10.1.0.1", "fd00:1::a", "fd00:2::a"],
    "b": ["10.0.0.2", "10.1.0.2", "fd00:1::b", "fd00:2::b"],
    "a-ib0": ["172.20.0.1"],
    "b-ib0": ["172.20.0.2"],
}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    def look_up(name, *rest):
        if name not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        family = rest[1]
        found = [one for one in NAMES[name] if (":" in one) == (family == socket.AF_INET6)]
        return [(family, socket.SOCK_STREAM, 6, "", (one, 0)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def write(table: str):
        path = tmp_path / "recipe.yaml"
        path.write_text(f"{GOOD}\n{table}\n")
        return path

    return write


def addresses(path, nodes="a,b", explicit=None):
    plan = load.load(path, nodes=parse_nodes(nodes, explicit)).plan
    return [node.address for node in plan.nodes]


def test_a_subnet_chooses_among_the_addresses_of_the_name(recipe):
    assert addresses(recipe("network: {subnet: 10.1.0.0/16}")) == ["10.1.0.1", "10.1.0.2"]


def test_a_subnet_of_ipv6_chooses_among_the_addresses_of_ipv6(recipe):
    assert addresses(recipe("network: {subnet: 'fd00:2::/64'}")) == ["fd00:2::a", "fd00:2::b"]


def test_an_interface_is_the_address_of_the_name_that_ends_in_it(recipe):
    assert addresses(recipe("network: {interface: ib0}")) == ["172.20.0.1", "172.20.0.2"]


def test_an_address_that_was_given_is_left(recipe):
    path = recipe("network: {interface: ib0}")
    assert addresses(path, explicit="10.9.0.[1-2]") == ["10.9.0.1", "10.9.0.2"]


def test_without_the_table_nodes_are_reached_by_their_names(recipe):
    assert addresses(recipe("")) == ["a", "b"]


def test_a_check_without_nodes_looks_nothing_up(recipe):
    assert load.check(recipe("network: {interface: eth9}"), nodes=None)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("network: {interface: eth9}", "address of a: a-eth9"),
        ("network: {subnet: 192.168.0.0/24}", "a in 192.168.0.0/24: .*10.0.0.1, 10.1.0.1"),
    ],
)
def test_a_node_without_such_an_address_is_named_with_what_was_found(recipe, table, words):
    with pytest.raises(SupervisorError, match=words):
        addresses(recipe(table))


@pytest.mark.parametrize(
    ("table", "at"),
    [
        ("network: {}", "network"),
        ("network: {interface: ib0, subnet: 10.1.0.0/16}", "network"),
        ("network: {interface: 'a b'}", "network.interface"),
        ("network: {subnet: 10.1.0.0/99}", "network.subnet"),
        ("network: {subnet: 'fd00::1/8'}", "network.subnet"),
        ("network: {interfaces: ib0}", "network.interfaces"),
    ],
)
def test_a_table_that_can_not_be_used_is_a_problem_at_its_place(recipe, table, at):
    with pytest.raises(InvalidDocument) as caught:
        load.check(recipe(table), nodes=None)
    assert [problem.path for problem in caught.value.problems] == [at]


def test_of_several_addresses_the_lowest_is_chosen_everywhere():
    found = ["10.1.0.10", "10.1.0.9"]
    assert choose(found, Network(subnet="10.1.0.0/16")) == "10.1.0.9"
