"""What the nginx in front of a router does with it."""

import pytest

from pdsup.front import drain_rules
from pdsup.front.drain_rules import STILL_S, Load, Use


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
        (None, {}, Use.SOME),
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
    reports = {"a": None, "b": nginx(("router-0",)), "c": nginx(())}
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


@pytest.mark.parametrize(
    ("unanswered", "served", "connections", "left"),
    [
        (0, 0, None, 0),
        (1, 2, None, 3),
        (1, 2, 1, 1),
        (1, 0, 0, 0),  # a client that went away before it was answered is counted for ever
        (0, 0, 7, 0),  # connections that carry no request
        (5, 0, 2, 2),
    ],
)
def test_a_request_is_counted_by_its_router_and_has_a_connection(
    unanswered, served, connections, left
):
    load = Load(unanswered, served, connections)
    assert load.left == left
    assert drain_rules.is_over(load, 0.0) is (left == 0)


def test_requests_that_no_worker_has_and_that_get_no_fewer_are_none():
    lost, served = Load(2, 0, 1), Load(2, 1, 1)
    assert not drain_rules.is_over(lost, STILL_S - 1)
    assert drain_rules.is_over(lost, STILL_S)
    assert not drain_rules.is_over(served, 100 * STILL_S)


TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0200007F:7580 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0200007F:7580 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:C350 0200007F:7580 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 0200007F:7580 0100007F:C351 08 00000000:00000000 00:00000000 00000000     0        0 4 1
   4: 0300007F:7580 0100007F:C352 01 00000000:00000000 00:00000000 00000000     0        0 5 1
   5: 0200007F:7581 0100007F:C353 01 00000000:00000000 00:00000000 00000000     0        0 6 1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 0000000000000000FFFF00000200007F:7580 0000000000000000FFFF00000100007F:C354 01 00000000:0
   1: 00000000000000000000000001000000:7580 00000000000000000000000001000000:C355 01 00000000:0
"""


@pytest.mark.parametrize(
    ("address", "count"), [("127.0.0.2", 2), ("127.0.0.3", 1), ("::1", 1), (None, 4)]
)
def test_the_connections_of_a_listener_are_those_of_the_kernel(address, count):
    assert drain_rules.connections((TCP, TCP6), address, 30080) == count
    assert drain_rules.connections((), address, 30080) == 0
