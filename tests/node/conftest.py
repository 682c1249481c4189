"""Plans and places to assign."""

from __future__ import annotations

import pytest

from pdsup.node.assignment import Place
from pdsup.plan.model import Node, Plan, PlanUnit


@pytest.fixture
def make_plan():
    """A plan of the named nodes, whose addresses are 10.0.0.1, 10.0.0.2 ..., and units."""

    def make(*names: str, units: tuple[PlanUnit, ...] = (), **settings) -> Plan:
        nodes = tuple(
            Node(name=name, address=f"10.0.0.{index}") for index, name in enumerate(names, 1)
        )
        return Plan(plan=1, name="bench", nodes=nodes, units=units, **settings)

    return make


@pytest.fixture
def make_unit():
    """A unit of a node; a service unless told otherwise."""

    def make(name: str, node: str, *command: str, **settings) -> PlanUnit:
        words = command or ("sleep", "1")
        return PlanUnit(name=name, node=node, command=words, **{"kind": "service", **settings})

    return make


@pytest.fixture
def make_place():
    """A place on node0 whose agent has the engine's and no other module."""

    def make(**settings) -> Place:
        usual = {
            "node": "node0",
            "run_dir": "/runs/bench-1",
            "state_dir": "/tmp/pdsup-1/abc/node0",
            "python": "/venv/bin/python",
            "environ": {"PATH": "/usr/bin", "HOME": "/home/me"},
            "has_module": lambda name: name == "sglang",
        }
        return Place(**{**usual, **settings})

    return make
