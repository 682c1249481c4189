"""What the nginx in front of a router does with it."""

import pytest

from pdsup.front import drain_rules
from pdsup.front.drain_rules import Use


@pytest.fixture
def nginx(unit_report):
    """The report of nginx; None where there is none."""

    def make(upstreams=(), **changes):
        return None if upstreams == "gone" else unit_report("nginx", upstreams=upstreams, **changes)

    return make


def test_the_nginx_of_a_plan_stands_in_front_of_its_routers(plan):
    assert drain_rules.in_front(plan) == {"router-0": ("nginx",)}


@pytest.mark.parametrize(
    ("upstreams", "changes", "expected"),
    [
        (("router-0", "router-1"), {}, Use.SOME),
        (("router-1",), {}, Use.NONE),
        ((), {}, Use.NONE),
        (None, {}, Use.UNKNOWN),
        ("gone", {}, Use.UNKNOWN),
        (("router-0",), {"state": "STOPPING"}, Use.SOME),
        (("router-0",), {"state": "STOPPED", "pid": None}, Use.NONE),
        (None, {"state": "BACKOFF", "pid": None}, Use.NONE),
    ],
)
def test_a_router_is_in_use_while_an_nginx_that_runs_passes_requests_to_it(
    nginx, upstreams, changes, expected
):
    report = nginx(upstreams, **changes)
    assert drain_rules.use("router-0", ("nginx",), lambda _: report) is expected


def test_one_nginx_of_several_is_enough(nginx):
    reports = {"a": nginx(None), "b": nginx(("router-0",)), "c": nginx(())}
    assert drain_rules.use("router-0", ("a", "b", "c"), reports.get) is Use.SOME
    assert drain_rules.use("router-0", ("a", "c"), reports.get) is Use.UNKNOWN
    assert drain_rules.use("router-0", ("c",), reports.get) is Use.NONE
    assert drain_rules.use("router-0", (), reports.get) is Use.NONE


@pytest.mark.parametrize(
    ("upstreams", "changes", "lacks"),
    [
        (("router-0",), {}, False),
        ((), {}, True),
        (None, {}, False),
        ("gone", {}, False),
        ((), {"state": "STOPPED", "pid": None}, False),
        ((), {"state": "STARTING"}, False),
    ],
)
def test_a_router_waits_only_for_an_nginx_that_runs_and_tells(nginx, upstreams, changes, lacks):
    report = nginx(upstreams, **changes)
    said = drain_rules.lacks("router-0", ("nginx",), lambda _: report)
    assert said == ("nginx does not pass requests to it yet" if lacks else None)
