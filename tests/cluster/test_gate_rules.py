"""When units may start."""

import dataclasses

import pytest

from pdsup.cluster import gate_rules

PATHS = {
    ("prefill-0", "http"), ("prefill-0", "bootstrap"), ("prefill-1", "http"),
    ("prefill-1", "bootstrap"), ("decode-0", "http"), ("decode-1", "http"),
}  # fmt: skip
CONNECTED = dict.fromkeys(PATHS)


@pytest.fixture
def decide(plan, unit_report):
    """The gate of the router while every unit is RUNNING, but for those in ``states``."""

    def of(connects=CONNECTED, *, first, **states):
        known = {name.replace("_", "-"): state for name, state in states.items()}

        def look(name):
            state = known.get(name, "RUNNING")
            return unit_report(name, state) if isinstance(state, str) else state

        return gate_rules.decide(plan, "router-0", look, connects, first=first)

    return of


@pytest.mark.parametrize("first", [True, False])
def test_a_gate_is_open_when_all_that_is_needed_runs_and_can_be_reached(decide, first):
    verdict = decide(first=first)
    assert (verdict.missing, verdict.ask, verdict.reason) == ((), (), None)


def test_a_unit_without_needs_waits_for_nothing(plan):
    verdict = gate_rules.decide(plan, "decode-0", lambda name: None, {}, first=True)
    assert verdict.reason is None


@pytest.mark.parametrize("name", ["prefill_0", "prefill_1", "decode_0", "decode_1", "etcd"])
def test_a_first_start_waits_for_every_unit(decide, name):
    verdict = decide(first=True, **{name: "STARTING"})
    (missing,) = verdict.missing
    assert missing.startswith(name.replace("_", "-") + " (STARTING on node")


@pytest.mark.parametrize("state", ["STOPPED", "WAITING", "STARTING", "UNHEALTHY", "STOPPING",
                                   "BACKOFF", "EXITED", "FATAL", "UNKNOWN"])  # fmt: skip
def test_a_unit_that_does_not_run_is_named_with_its_state_and_node(decide, state):
    verdict = decide(first=True, decode_1=state)
    assert verdict.reason == f"waits for decode-1 ({state} on node3)"


def test_a_unit_whose_node_has_not_reported_is_named_as_such(decide):
    verdict = decide(first=True, decode_0=None)
    assert verdict.reason == "waits for decode-0 (no report from its node)"


def test_a_later_start_needs_only_one_worker_of_each_role(decide):
    verdict = decide(first=False, prefill_0="BACKOFF", decode_1=None)
    assert verdict.reason is None


def test_a_later_start_waits_when_no_worker_of_a_role_is_left(decide):
    verdict = decide(first=False, decode_0="BACKOFF", decode_1="STARTING")
    assert verdict.missing == ("any decode",)


def test_a_later_start_still_waits_for_a_unit_that_has_no_role(decide):
    verdict = decide(first=False, etcd="BACKOFF")
    assert verdict.missing == ("any etcd",)


def test_a_unit_that_needs_all_at_every_start_waits_for_each(plan, unit_report):
    router = plan.by_name["router-0"]
    strict = dataclasses.replace(router, needs=dataclasses.replace(router.needs, later="all"))
    plan = dataclasses.replace(plan, units=(*(u for u in plan.units if u != router), strict))
    states = {"prefill-0": "BACKOFF"}
    verdict = gate_rules.decide(
        plan, "router-0", lambda n: unit_report(n, states.get(n, "RUNNING")), CONNECTED, first=False
    )
    assert verdict.reason == "waits for prefill-0 (BACKOFF on node0)"


@pytest.fixture
def decide_with(plan, unit_report):
    """The gate of the router with minimum counts, while these units do not run."""

    def of(*down, first, **counts):
        router = plan.by_name["router-0"]
        needs = dataclasses.replace(router.needs, **counts)
        others = (unit for unit in plan.units if unit != router)
        changed = dataclasses.replace(
            plan, units=(*others, dataclasses.replace(router, needs=needs))
        )

        def look(name):
            return unit_report(name, "STARTING" if name in down else "RUNNING")

        return gate_rules.decide(changed, "router-0", look, CONNECTED, first=first).missing

    return of


def test_a_first_start_may_be_content_with_some_of_a_role(decide_with):
    one = {"first_at_least": {"prefill": 1, "decode": 2}}
    assert decide_with("prefill-0", first=True, **one) == ()
    assert decide_with("prefill-0", "prefill-1", first=True, **one) == ("any prefill",)
    assert decide_with("decode-1", first=True, **one) == ("1 more decode",)
    assert decide_with("etcd", first=True, **one) == ("any etcd",)


def test_a_later_start_may_take_more_than_one_of_a_role(decide_with):
    two = {"later_at_least": {"decode": 2}}
    assert decide_with("prefill-0", first=False, **two) == ()
    assert decide_with("decode-0", "decode-1", first=False, **two) == ("2 more decode",)
    assert decide_with("decode-0", first=True, **two) == ("decode-0 (STARTING on node2)",)


def test_paths_to_running_units_are_asked_about_once_each(decide):
    verdict = decide({("decode-0", "http"): "refused"}, first=True, decode_1="STARTING")
    asked = PATHS - {("decode-0", "http"), ("decode-1", "http")}
    assert (set(verdict.ask), len(verdict.ask)) == (asked, len(asked))


def test_a_path_that_is_not_known_yet_keeps_the_gate_closed(decide):
    connects = {path: None for path in PATHS if path != ("prefill-1", "bootstrap")}
    verdict = decide(connects, first=True)
    assert verdict.missing == ("prefill-1 (connecting to node1:30001)",)


def test_a_path_that_fails_is_named_with_its_cause(decide):
    connects = CONNECTED | {("decode-0", "http"): "connection refused"}
    verdict = decide(connects, first=True)
    assert verdict.missing == ("decode-0 (no TCP connection to node2:30000: connection refused)",)
    assert verdict.ask == ()


def test_one_worker_that_can_be_reached_is_enough_for_a_later_start(decide):
    connects = CONNECTED | {("decode-0", "http"): "connection refused"}
    assert decide(connects, first=False).reason is None


def test_a_unit_that_runs_and_can_not_be_used_is_named_with_the_cause(decide, unit_report):
    why = "no router is ready, so it answers 503"
    etcd = unit_report("etcd", "RUNNING", ready=False, reason=why)
    assert decide(first=True, etcd=etcd).reason == f"waits for etcd (RUNNING on node0: {why})"


def test_what_is_missing_is_what_the_conditions_say(decide):
    connects = CONNECTED | {("decode-0", "http"): "connection refused"}
    del connects["prefill-1", "bootstrap"]
    decision = decide(connects, first=True, decode_1="STARTING", etcd=None)
    lacks = [one for conditions in decision.asked for one in conditions if not one.holds]
    assert [(one.unit.name, one.port, one.holds) for one in lacks] == [
        ("prefill-1", "bootstrap", None), ("decode-0", "http", False), ("decode-1", None, False),
        ("etcd", None, None),
    ]  # fmt: skip
    assert decision.missing == tuple(f"{one.unit.name} ({one.lack})" for one in lacks)


def test_a_port_that_its_node_does_not_have_yet_keeps_the_gate_closed(decide, unit_report):
    old = unit_report("prefill-1", ports={"http": 30000})
    decision = decide(CONNECTED, first=True, prefill_1=old)
    assert decision.reason == "waits for prefill-1 (its node has no port bootstrap for it yet)"


def test_the_reason_of_a_unit_that_starts_is_left_to_that_unit(decide, unit_report):
    starting = unit_report("decode-0", "STARTING", reason="not ready yet: HTTP 503")
    decision = decide(first=True, decode_0=starting)
    assert decision.reason == "waits for decode-0 (STARTING on node2)"
    (lack,) = [one for conditions in decision.asked for one in conditions if not one.holds]
    assert lack.detail == "STARTING on node2: not ready yet: HTTP 503"


def test_a_long_list_of_causes_is_cut_to_three(decide):
    verdict = decide(
        first=True, prefill_0=None, prefill_1="FATAL", decode_0="WAITING", decode_1=None, etcd=None
    )
    assert len(verdict.missing) == 5
    assert verdict.reason.endswith(", decode-0 (WAITING on node2) and 2 more")
