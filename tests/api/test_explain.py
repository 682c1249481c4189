"""Why a unit is in its state, and what happens next."""

import dataclasses

import pytest

from pdsup.answers.explanation import CheckResult
from pdsup.api import explain
from pdsup.api.explain import Now
from pdsup.cluster import gate_rules
from pdsup.plan.engines import sglang
from pdsup.plan.model import Check, Need, Needs, Probe, Probes, Restart
from pdsup.units import states
from pdsup.units.facts import Facts
from pdsup.units.probes.health import No, Unasked, Yes
from pdsup.units.public_state import PublicState

NOW = Now(wall=1.7e9, monotonic=100.0)
RAN = states.Running(1, 0.0, ())


@pytest.fixture
def gate(plan, unit_report):
    """What is told of the gate of router-0."""

    def of(running=(), connects=None, first=True, tried=None, **reported):
        reports = {name: unit_report(name) for name in running}
        reports |= {name.replace("_", "-"): report for name, report in reported.items()}
        decision = gate_rules.decide(plan, "router-0", reports.get, connects or {}, first=first)
        return explain.gate(plan, decision, tried or {}, NOW.monotonic)

    return of


def truths(found):
    return {one.what.partition(" (")[0]: one.holds for one in found.conditions}


def test_each_unit_and_each_port_that_is_needed_is_a_condition(gate):
    assert list(truths(gate())) == [
        "prefill-0 ready", "TCP to prefill-0 http", "TCP to prefill-0 bootstrap",
        "prefill-1 ready", "TCP to prefill-1 http", "TCP to prefill-1 bootstrap",
        "decode-0 ready", "TCP to decode-0 http", "decode-1 ready", "TCP to decode-1 http",
        "etcd ready",
    ]  # fmt: skip


def test_what_this_agent_does_not_know_is_neither_true_nor_false(gate):
    found = gate(running=["prefill-0"])
    assert truths(found)["prefill-0 ready"] is True
    assert truths(found)["TCP to prefill-0 http"] is None
    assert truths(found)["decode-0 ready"] is None


def test_a_condition_that_does_not_hold_says_why(gate, unit_report):
    starting = unit_report("decode-0", "STARTING", reason="not ready yet: HTTP 503")
    port = ("decode-0", "http")
    found = gate(connects={port: "connection refused"}, tried={port: 97.5}, decode_0=starting)
    conditions = {one.what.split(" (")[0]: one for one in found.conditions}
    assert conditions["decode-0 ready"].holds is False
    assert conditions["decode-0 ready"].detail == "STARTING on node2: not ready yet: HTTP 503"
    tcp = conditions["TCP to decode-0 http"]
    assert (tcp.holds, tcp.detail, tcp.age_s) == (False, "connection refused", 2.5)
    assert conditions["decode-0 ready"].age_s is None


def test_the_explanation_of_a_unit_that_waits_for_nginx_agrees_with_its_gate(plan, unit_report):
    why = "no router is ready, so it answers 503"
    nginx = unit_report("nginx", "RUNNING", ready=False, reason=why)
    benchmark = plan.by_name["benchmark"]
    benchmark = dataclasses.replace(benchmark, needs=Needs(units=(Need(unit="nginx"),)))
    others = tuple(unit for unit in plan.units if unit.name != "benchmark")
    plan = dataclasses.replace(plan, units=(*others, benchmark))
    decision = gate_rules.decide(plan, "benchmark", {"nginx": nginx}.get, {}, first=True)
    assert decision.reason == f"waits for nginx (RUNNING on node0: {why})"
    (condition,) = explain.gate(plan, decision, {}, 0.0).conditions
    assert (condition.holds, condition.detail) == (False, f"RUNNING on node0: {why}")


def test_the_first_start_needs_all_and_a_later_one_what_the_plan_says(gate):
    assert (gate(first=True).rule, gate(first=False).rule) == ("all", "one-per-role")
    assert gate(first=True).enough == {}


def outlook(plan, state, shown="BACKOFF", **restart):
    unit = dataclasses.replace(plan.by_name["decode-0"], restart=Restart(**restart))
    facts = Facts(state, None, 1, 1.0, None, "", None) if state else None
    return explain.outlook(unit, PublicState(shown), facts, NOW)


def test_the_next_attempt_of_a_unit_in_backoff_has_its_time_and_the_number_of_failures(plan):
    found = outlook(plan, states.Backoff(107.5, (1.0, 2.0, 3.0), "killed"), max_failures=5)
    assert found.at == 1.7e9 + 7.5
    assert "this was failure 3 of at most 5 in 12 h" in found.what


@pytest.mark.parametrize("needs", [True, False])
def test_a_unit_that_waits_for_no_other_unit_does_not_start_when_its_gate_opens(plan, needs):
    unit = plan.by_name["router-0"]
    found = explain.outlook(unit, PublicState.WAITING, None, NOW, gate_open=not needs)
    assert ("gate" in found.what) is needs


def test_what_follows_a_unit_of_another_node_has_no_time(plan):
    found = outlook(plan, None, max_failures=5)
    assert found.at is None
    assert "it gives up after 5 failures in 12 h" in found.what


def test_a_deadline_that_is_never_is_no_time(plan):
    assert outlook(plan, states.Running(1, 0.0, ()), "RUNNING").at is None


@pytest.mark.parametrize(
    ("policy", "words"),
    [("always", "is restarted"), ("on-failure", "unless its status is 0"),
     ("never", "is not restarted")],
)  # fmt: skip
def test_what_follows_the_end_of_a_running_unit_is_its_restart_policy(plan, policy, words):
    assert words in outlook(plan, states.Running(1, 0.0, ()), "RUNNING", policy=policy).what


@pytest.mark.parametrize("state", PublicState)
def test_every_state_has_an_outlook(plan, state):
    assert outlook(plan, None, state).what


@pytest.mark.parametrize("state", ["RUNNING", "UNHEALTHY"])
def test_a_unit_that_fails_its_liveness_probe_has_the_time_of_its_end(plan, state):
    unit, facts = plan.by_name["decode-0"], Facts(RAN, 7, 1, 1.0, None, "", None)
    found = explain.outlook(unit, PublicState(state), facts, NOW, 160.0)
    assert found.at == 1.7e9 + 60.0
    assert "it is killed and restarted, unless its liveness probe passes" in found.what


def test_one_that_is_being_stopped_has_the_time_of_its_stop(plan):
    unit = plan.by_name["decode-0"]
    ending = states.Stopping(1, 107.5, states.Then.REST, (), "stop requested")
    facts = Facts(ending, 7, 1, 1.0, None, "", None)
    assert explain.outlook(unit, PublicState.STOPPING, facts, NOW, 160.0).at == 1.7e9 + 7.5


def test_each_check_of_a_probe_is_told_with_its_answer_and_what_a_refusal_means(plan):
    tree = Check(tree="sglang::")

    def probe(*checks):
        return Probe(checks=checks, period_s=1.0, timeout_s=1.0)

    startup = probe(sglang.WORKER_HEALTH, sglang.BOOTSTRAP_ROUTE)
    probes = Probes(startup=startup, liveness=probe(sglang.WORKER_HEALTH, tree))
    unit = dataclasses.replace(plan.by_name["prefill-0"], probes=probes)
    where = "10.0.0.1:30001/route"
    latest = [
        (sglang.WORKER_HEALTH, Yes(), 90.0),
        (sglang.BOOTSTRAP_ROUTE, No(f"{where}: HTTP 503"), 99.5),
        (tree, Unasked("no /proc"), 100.0),
    ]
    health, route, processes = explain.checks(unit, "10.0.0.1", latest, 100.0)
    assert health == CheckResult(
        probes=("startup", "liveness"), what="GET 10.0.0.1:30000/health", holds=True, detail="",
        age_s=10.0,
    )  # fmt: skip
    assert (route.what, route.holds, route.probes) == (f"GET {where}", False, ("startup",))
    assert route.detail == (
        "HTTP 503: not all ranks of this prefill have registered with its bootstrap server"
    )
    assert (processes.holds, processes.detail) == (None, "no /proc")


@pytest.mark.parametrize(
    ("check", "what"),
    [
        (Check(port="http"), "TCP connect to [::1]:30000"),
        (Check(command=("nvidia-smi", "-L")), "nvidia-smi -L exits with 0"),
        (Check(log="fired up"), "a line of output matches fired up"),
        (Check(tree="sglang::"), "its processes run, and every sglang::* lives"),
        (Check(tree=""), "its processes run"),
    ],
)
def test_a_check_is_told_in_a_few_words(check, what):
    assert explain._checked(check, "::1", {"http": 30000}) == what
