"""The end of a run that comes by itself."""

import dataclasses

import pytest

from pdsup.cluster import ending_rules
from pdsup.cluster.report import ExitReport


@pytest.fixture
def two(plan):
    """The plan with a second benchmark."""
    (only,) = (unit for unit in plan.units if unit.kind == "benchmark")
    second = dataclasses.replace(only, name="second", node="node2")
    return dataclasses.replace(plan, units=(*plan.units, second))


@pytest.fixture
def ended(unit_report):
    def made(state="EXITED", code=0, signal=None, name="benchmark", **changes):
        last = ExitReport(code=code, signal=signal, at=1.0)
        found = unit_report("benchmark", state, last_exit=last, reason="exited with status 0")
        return dataclasses.replace(found, name=name, **changes)

    return made


def test_a_plan_without_a_benchmark_never_ends_by_itself(plan, unit_report):
    units = tuple(unit for unit in plan.units if unit.kind != "benchmark")
    assert ending_rules.reason(dataclasses.replace(plan, units=units), unit_report) is None


@pytest.mark.parametrize("state", ["WAITING", "RUNNING", "BACKOFF", "STOPPED", "STOPPING"])
def test_a_run_goes_on_while_its_benchmark_has_not_ended_by_itself(plan, ended, state):
    assert ending_rules.reason(plan, lambda _: ended(state)) is None
    assert ending_rules.reason(plan, lambda _: None) is None


@pytest.mark.parametrize("state", ["EXITED", "FATAL"])
def test_the_end_of_the_benchmark_is_the_end_of_the_run_and_says_so(plan, ended, state):
    found = ending_rules.reason(plan, lambda _: ended(state))
    assert found == f"benchmark is {state}: exited with status 0"


def test_of_several_benchmarks_the_last_one_ends_the_run(two, ended):
    reports = {"benchmark": ended(since=5.0)}
    assert ending_rules.reason(two, reports.get) is None
    reports["second"] = ended(name="second", since=4.0)
    assert ending_rules.reason(two, reports.get) == "benchmark is EXITED: exited with status 0"


def test_the_status_of_a_node_is_its_benchmarks(ended, unit_report):
    worker = unit_report("decode-1", "EXITED", last_exit=ExitReport(code=9, signal=None, at=1.0))
    assert ending_rules.status([worker]) == 0
    assert ending_rules.status([worker, ended(code=3), ended(code=0)]) == 3


def test_a_benchmark_that_was_killed_is_no_success_and_one_that_was_stopped_no_failure(ended):
    assert ending_rules.status([ended(code=None, signal="SIGKILL")]) == 1
    assert ending_rules.status([ended("STOPPED", code=None, signal="SIGTERM")]) == 0


def test_who_needs_a_unit_and_the_nginx_before_it_stop_first(plan):
    in_front = ending_rules.dependents(plan)
    assert in_front["decode-1"] == ("router-0", "benchmark")
    assert in_front["router-0"] == ("nginx",)
    assert in_front["nginx"] == ()
    assert in_front.keys() == plan.by_name.keys()


def test_a_unit_has_patience_for_the_slowest_chain_in_front_of_it(plan):
    patience = ending_rules.patience(plan)
    assert patience["nginx"] == 0
    assert patience["router-0"] == 2
    assert patience["decode-1"] == 7  # router 5, nginx 2; the benchmark's 1 is shorter
    assert patience["benchmark"] == 0


@pytest.mark.parametrize(
    ("state", "settled"),
    [("STOPPED", True), ("EXITED", True), ("FATAL", True), ("BACKOFF", False), ("WAITING", False),
     ("STARTING", False), ("RUNNING", False), ("UNHEALTHY", False), ("STOPPING", False)],
)  # fmt: skip
def test_a_unit_is_settled_when_nothing_of_it_runs_or_will_run(unit_report, state, settled):
    assert ending_rules.settled(unit_report("decode-0", state)) is settled


def test_a_unit_of_a_node_that_can_not_be_reached_counts_as_settled():
    assert ending_rules.settled(None)
