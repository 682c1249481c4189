"""What a recipe runs on nodes whose addresses are of IPv6."""

import json

import pytest

from pdsup.plan.front import front_of
from pdsup.plan.model import Node
from tests.plan.recipes import flags, recipe

NODES = tuple(Node(name=f"n{i}", address=f"fd00::{i + 1}") for i in range(3))


@pytest.fixture
def compiled(desk):
    """A prefill over two nodes and a decode, behind routers and nginx, and a benchmark."""

    def of(bind):
        resources = {"prefill_nodes": 2, "prefill_workers": 1, "decode_nodes": 1,
                     "decode_workers": 1}  # fmt: skip
        text = recipe(
            resources,
            backend={"kv_events_config": {"decode": True}},
            benchmark={"type": "custom", "command": "./run.sh"},
        )
        return desk.plan(text, nodes=NODES, bind=bind)

    return of


def line(plan, unit):
    return flags(plan.by_name[unit].command)


def events(plan):
    return json.loads(line(plan, "decode-0")["--kv-events-config"][0])["endpoint"]


def test_the_ranks_of_a_worker_meet_where_brackets_part_the_address_from_the_port(compiled):
    plan = compiled("address")
    for rank in range(2):
        assert line(plan, f"prefill-0.{rank}")["--dist-init-addr"] == ["[fd00::1]:30003"]
        assert line(plan, f"prefill-0.{rank}")["--host"] == [f"fd00::{rank + 1}"]


def test_a_router_is_told_the_urls_of_its_workers_and_its_own_host_in_brackets(compiled):
    router = line(compiled("address"), "router-1")
    assert router["--prefill"] == ["http://[fd00::1]:30000", "30001"]
    assert router["--decode"] == ["http://[fd00::3]:30000"]
    assert (router["--host"], router["--prometheus-host"]) == (["[fd00::2]"], ["fd00::2"])


def test_a_benchmark_and_everybody_else_is_told_the_url_of_nginx_in_brackets(compiled):
    plan = compiled("address")
    told = plan.by_name["benchmark"].env
    assert told["PDSUP_URL"] == "http://[fd00::1]:8000"
    assert (told["SRT_FRONTEND_HOST"], told["SRT_FRONTEND_PORT"]) == ("fd00::1", "8000")
    assert told["SRT_DECODE_ENDPOINTS"] == "[fd00::3]:30000"
    assert front_of(plan) == "http://[fd00::1]:8000"


def test_a_worker_publishes_the_events_of_its_cache_on_its_own_address(compiled):
    assert events(compiled("address")).startswith("tcp://[fd00::3]:")
    assert events(compiled("any")).startswith("tcp://*:")


def test_what_listens_on_all_addresses_listens_on_those_of_ipv6(compiled):
    plan = compiled("any")
    assert line(plan, "decode-0")["--host"] == ["::"]
    router = line(plan, "router-0")
    assert (router["--host"], router["--prometheus-host"]) == (["[::]"], ["::"])
