"""What routers are told when workers are back."""

import dataclasses

import pytest

from pdsup.front import router_rules
from pdsup.plan.model import Node

METRICS = """\
# TYPE smg_worker_cb_state gauge
smg_worker_health{worker="http://a:30000"} 1
smg_worker_cb_state{worker="http://a:30000"} 1
smg_worker_cb_state{worker="http://b:30000"} 0
smg_worker_cb_state{pool="x",worker="http://c:30000"} 2
"""


@pytest.fixture
def targets(plan):
    return router_rules.targets(plan, "router-0")


@pytest.fixture
def listed(targets):
    return {target.url: f"id-{target.unit}" for target in targets}


def mend(targets, returned, listed, broken=frozenset()):
    return router_rules.mend(targets, frozenset(returned), listed, broken)


def test_the_workers_of_a_router_are_those_its_gate_names(plan, targets):
    assert [target.unit for target in targets] == ["prefill-0", "prefill-1", "decode-0", "decode-1"]
    prefill, decode = targets[0], targets[2]
    assert prefill.url == f"http://{plan.address['node0']}:30000"
    assert prefill.addition() == {
        "url": prefill.url, "worker_type": "prefill", "bootstrap_port": 30001,
    }  # fmt: skip
    assert decode.addition() == {"url": decode.url, "worker_type": "decode"}


def test_an_aggregated_worker_is_a_regular_one(plan):
    units = tuple(
        dataclasses.replace(unit, role="agg" if unit.role else None) for unit in plan.units
    )
    (first, *_) = router_rules.targets(dataclasses.replace(plan, units=units), "router-0")
    assert first.addition()["worker_type"] == "regular"


def test_an_ipv6_address_stands_in_brackets(plan):
    nodes = (Node(name="node0", address="fd00::1"), *plan.nodes[1:])
    (first, *_) = router_rules.targets(dataclasses.replace(plan, nodes=nodes), "router-0")
    assert first.url == "http://[fd00::1]:30000"


def test_when_nothing_returned_and_all_are_listed_nothing_is_asked(targets, listed):
    assert mend(targets, (), listed) == router_rules.Mending((), ())


def test_the_breaker_of_a_worker_that_returned_is_closed_whatever_it_is(targets, listed):
    assert mend(targets, ["decode-0"], listed).close == ("id-decode-0",)


def test_the_breakers_that_its_death_opened_are_closed_too(targets, listed):
    broken = frozenset({targets[0].url, "http://elsewhere:1"})
    assert mend(targets, ["decode-0"], listed, broken).close == ("id-prefill-0", "id-decode-0")


def test_a_worker_that_does_not_run_is_left_alone(targets, listed):
    running = [target for target in targets if target.unit != "prefill-0"]
    mending = mend(running, ["decode-0"], listed, frozenset({targets[0].url}))
    assert mending.close == ("id-decode-0",)


def test_when_breakers_can_not_be_seen_all_are_closed(targets, listed):
    assert len(mend(targets, ["decode-0"], listed, None).close) == 4
    assert mend(targets, (), listed, None).close == ()


def test_a_worker_that_the_router_gave_up_is_added_and_has_no_breaker_yet(targets, listed):
    del listed[targets[3].url]
    assert mend(targets, ["decode-1"], listed) == router_rules.Mending((targets[3],), ())


def test_a_worker_on_a_silent_node_is_dropped(targets, listed):
    running, silent = [t for t in targets if t.unit != "decode-1"], [targets[3]]
    mending = router_rules.mend(running, frozenset(), listed, frozenset(), silent)
    assert mending == router_rules.Mending((), (), ("id-decode-1",))


def test_the_last_worker_of_its_role_is_not_dropped(targets, listed):
    running = [target for target in targets if target.role == "prefill"]
    assert router_rules.mend(running, frozenset(), listed, frozenset(), targets[2:]).drop == ()


def test_a_stranger_is_dropped_and_a_data_parallel_rank_is_none(targets, listed):
    ranks = {f"{targets[0].url}@{rank}": f"id-{rank}" for rank in range(2)}
    known = router_rules.known_urls(targets, ("--worker-urls", "http://mine:1"))
    strange = {"http://127.0.66.6:30000": "id-x", "http://mine:1@x": "id-y"}
    whole = {**listed, **ranks, "http://mine:1": "id-mine", **strange}
    mending = router_rules.mend(targets, frozenset(), whole, frozenset(), (), known)
    assert mending == router_rules.Mending((), (), ("id-x", "id-y"))


def test_a_router_whose_command_names_no_worker_may_list_any(targets, listed):
    known = router_rules.known_urls(targets, ("--service-discovery",))
    mending = router_rules.mend(targets, frozenset(), {"http://x:1": "id"}, None, (), known)
    assert known is None
    assert mending.drop == ()


def test_breakers_that_are_open_or_half_open_are_found_in_the_metrics():
    assert router_rules.open_breakers(METRICS) == {"http://a:30000", "http://c:30000"}


@pytest.mark.parametrize("answer", [None, [], {}, {"workers": None}, "text"])
def test_an_answer_without_workers_is_no_list(answer):
    assert router_rules.listing(answer) is None


def test_a_list_gives_ids_by_url_and_forgives_what_it_does_not_know():
    workers = [{"url": "http://a:1/", "id": "x"}, {"url": 3, "id": "y"}, {"id": "z"}, "w"]
    assert router_rules.listing({"workers": workers}) == {"http://a:1": "x"}
