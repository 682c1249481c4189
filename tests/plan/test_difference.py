"""What one plan of a run becomes when another takes its place."""

from __future__ import annotations

import dataclasses

import pytest

from pdsup.plan.difference import difference, fingerprint, leaving, refusal
from pdsup.plan.model import Log, Nginx, Node, Plan, PlanUnit, Restart, Stop

NODES = (Node(name="a", address="10.0.0.1"), Node(name="b", address="10.0.0.2"))


def unit(name="x", node="a", **changes) -> PlanUnit:
    usual = {"kind": "service", "command": ("run", name)}
    return PlanUnit(name=name, node=node, **{**usual, **changes})


def plan(*units: PlanUnit, **changes) -> Plan:
    return dataclasses.replace(Plan(plan=1, name="p", nodes=NODES, units=units), **changes)


def told(old: Plan, new: Plan, made=None) -> dict[str, tuple]:
    return {one.unit: (one.what, *one.fields) for one in difference(old, new, made).changes}


def test_the_same_plan_is_no_difference():
    found = difference(plan(unit(), unit("y")), plan(unit(), unit("y")))
    assert not found
    assert (found.changes, found.unchanged, found.plan) == ((), 2, ())


@pytest.mark.parametrize(
    "change",
    [
        {"command": ("run", "--more")},
        {"env": {"A": "1"}},
        {"ports": {"http": 1}},
        {"gpus": (0,)},
        {"kind": "router"},
        {"log": Log(file="other.out")},
        {"log": Log(mode="pipe")},
        {"nginx": Nginx(upstreams=(), prefix="/elsewhere")},
    ],
    ids=lambda change: str(*change.values())[:40],
)
def test_what_a_run_is_made_of_needs_another_run(change):
    assert fingerprint(unit()) != fingerprint(unit(**change))
    assert told(plan(unit()), plan(unit(**change))) == {"x": ("restarted", *change)}


@pytest.mark.parametrize(
    "change",
    [
        {"restart": Restart(max_failures=3)},
        {"stop": Stop(timeout_s=3)},
        {"log": Log(keep=2)},
        {"nginx": Nginx(upstreams=("router-9",))},
    ],
    ids=lambda change: str(*change),
)
def test_what_the_agent_does_with_a_run_changes_under_it(change):
    assert fingerprint(unit(kind="nginx")) == fingerprint(unit(kind="nginx", **change))
    assert told(plan(unit()), plan(unit(**change))) == {"x": ("updated", *change)}


def test_a_run_that_missed_a_change_is_told_from_one_that_did_not():
    first, second, third = unit(), unit(env={"A": "1"}), unit(env={"A": "2"})
    made = {"x": fingerprint(first)}
    assert told(plan(second), plan(first), made) == {"x": ("updated", "env")}
    assert told(plan(second), plan(second), made) == {"x": ("restarted", "an earlier change")}
    assert told(plan(second), plan(third), made) == {"x": ("restarted", "env")}


def test_a_benchmark_is_not_begun_anew():
    old, new = unit(kind="benchmark"), unit(kind="benchmark", command=("other",))
    assert told(plan(old), plan(new)) == {"x": ("updated", "command")}


def test_units_come_and_go_and_what_moves_does_both():
    old = plan(unit(), unit("y"), unit("z", "b"))
    new = plan(unit(node="b"), unit("w"), unit("z", "b"))
    assert told(old, new) == {"x": ("restarted", "node", "log"), "w": ("added",), "y": ("removed",)}
    assert difference(old, new).unchanged == 1
    assert leaving(old, new, "a") == ("x", "y")
    assert leaving(old, new, "b") == ()


def test_a_gang_begins_anew_as_a_whole():
    gang = [unit(f"g.{rank}", kind="worker", gang="g", rank=rank) for rank in range(3)]
    changed = [*gang[:2], dataclasses.replace(gang[2], env={"A": "1"})]
    assert told(plan(*gang), plan(*changed)) == {
        "g.0": ("restarted", "gang"),
        "g.1": ("restarted", "gang"),
        "g.2": ("restarted", "env"),
    }


@pytest.mark.parametrize("fewer", [True, False])
def test_also_when_it_gets_another_rank_or_loses_one(fewer):
    gang = [unit(f"g.{rank}", kind="worker", gang="g", rank=rank) for rank in range(3)]
    plans = (plan(*gang), plan(*gang[:2]))
    found = told(*(plans if fewer else plans[::-1]))
    assert found.pop("g.2") == (("removed",) if fewer else ("added",))
    assert found == {"g.0": ("restarted", "gang"), "g.1": ("restarted", "gang")}


def test_settings_of_the_plan_itself_are_told_apart():
    assert difference(plan(unit()), plan(unit(), on_fatal="stop-cluster")).plan == ("on_fatal",)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "q"}, "its name is q, that of the run is p; that needs a new run"),
        ({"bind": "address"}, "its bind is address, that of the run is any; that needs a new run"),
        ({"control_port": 1}, "its control_port is 1, that of the run is 9440; that needs"),
        ({"nodes": NODES[:1]}, "it lacks node b; that needs a new run"),
        ({"nodes": (*NODES, Node(name="c", address="c"))}, "it has node c; that needs a new run"),
        (
            {"nodes": (NODES[0], Node(name="b", address="b"))},
            "it has other addresses for b; that needs a new run",
        ),
        ({"nodes": NODES[::-1]}, "its nodes are in another order or group; that needs a new run"),
    ],
    ids=lambda value: str(*value) if isinstance(value, dict) else "",
)
def test_agents_and_their_addresses_stay_as_they_are(change, why):
    assert (refusal(plan(), plan(**change)) or "").startswith(why)


def test_many_nodes_are_not_all_named():
    many = tuple(Node(name=f"n{index}", address="x") for index in range(9))
    reason = refusal(plan(nodes=many), plan(nodes=many[:1]))
    assert reason == "it lacks node n1, n2, n3, n4, n5 and 3 more; that needs a new run"


def test_everything_else_is_fine():
    assert refusal(plan(unit()), plan(unit("y"), on_fatal="stop-cluster")) is None
