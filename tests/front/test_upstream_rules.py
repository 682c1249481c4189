"""Which routers nginx should list: none leaves only because nobody has said anything about it."""

import dataclasses

import pytest

from pdsup.front import upstream_rules
from pdsup.front.nginx_conf import Upstream
from pdsup.plan.model import Check, Probe, Probes
from pdsup.units.public_state import REPORTED, PublicState


@pytest.fixture
def here(plan):
    """Where the plan has its router."""
    return Upstream("router-0", plan.address["node0"], 30080)


@pytest.fixture
def wanted(plan):
    def ask(report, listed=(), dead=()):
        return upstream_rules.wanted(
            plan, ("router-0",), frozenset(listed), lambda _: report, frozenset(dead)
        )

    return ask


@pytest.mark.parametrize("state", REPORTED)
@pytest.mark.parametrize("was_listed", [False, True])
def test_what_the_agent_of_a_router_says_decides(wanted, here, unit_report, state, was_listed):
    listed = {here} if was_listed else set()
    ready = state is PublicState.RUNNING
    assert wanted(unit_report("router-0", state), listed) == ({here} if ready else set())


def test_a_router_of_which_nothing_is_heard_stays_as_it_is(wanted, here):
    assert wanted(None, {here}) == {here}
    assert wanted(None) == set()


def test_a_router_that_is_silent_and_does_not_answer_either_leaves(wanted, here):
    assert wanted(None, {here}, {"router-0"}) == set()


def test_a_router_that_the_plan_no_longer_has_leaves(plan, here, unit_report):
    ask = upstream_rules.wanted
    assert ask(plan, (), frozenset({here}), lambda _: unit_report("router-0"), ()) == set()


def test_a_run_from_before_a_change_of_its_port_is_reached_where_it_listens(
    wanted, here, unit_report
):
    before = dataclasses.replace(here, port=30099)
    assert wanted(unit_report("router-0", ports={"http": 30099}), {here}) == {before}
    assert wanted(unit_report("router-0", ports={"http": 30080}), {before}) == {here}
    assert wanted(unit_report("router-0", ports={})) == {here}


def test_those_have_to_answer_here_whose_agents_are_silent(unit_report):
    heard, silent = Upstream("router-0", "a", 1), Upstream("router-1", "b", 2)
    reports = {"router-0": unit_report("router-0", "STOPPING")}
    assert upstream_rules.silent({heard, silent}, reports.get) == [silent]


def test_a_router_is_asked_what_its_agent_asks_it(plan):
    router = plan.by_name["router-0"]
    assert upstream_rules.question(router) is None
    ready, port = Check(port="http", path="/readiness"), Check(port="http")
    startup = Probe(checks=(port, ready), period_s=1, timeout_s=1)
    probed = dataclasses.replace(router, probes=Probes(startup=startup))
    assert upstream_rules.question(probed) is ready
