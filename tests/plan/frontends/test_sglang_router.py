"""Command lines and probes of SGLang's routers."""

import re
from itertools import pairwise

import pytest

from pdsup.plan.frontends.sglang_router import ROUTER_NOISE
from tests.plan.recipes import GOOD, ONE_EACH, recipe


def test_a_router_is_asked_for_the_breakers_of_the_workers_it_is_told(desk):
    plan = desk.plan(recipe({**ONE_EACH, "decode_nodes": 2, "decode_workers": 2}))
    router = plan.by_name["router-0"]
    *_, breakers = router.probes.readiness.checks
    assert breakers.port == "prometheus"
    for role, urls in breakers.gauges.groups.items():
        told = [after for word, after in pairwise(router.command) if word == f"--{role}"]
        assert list(urls) == told
    assert {role: len(urls) for role, urls in breakers.gauges.groups.items()} == {
        "prefill": 1, "decode": 2
    }  # fmt: skip


@pytest.mark.parametrize(
    ("args", "path"),
    [
        ({"prometheus-port": 30000}, "frontend.args.prometheus-port"),
        ({"prometheus-port": 9440}, "frontend.args.prometheus-port"),
        ({"prometheus_port": 30080}, "frontend.args.prometheus_port"),
    ],
)
def test_a_prometheus_port_that_another_listener_has_is_refused(desk, args, path):
    problem = desk.problem(recipe(ONE_EACH, frontend={"type": "sglang", "args": args}))
    assert problem.path in (path, "frontend.args.prometheus-port")
    assert "is already used by" in problem.message


def test_a_list_of_a_router_flag_repeats_the_flag(desk):
    router = desk.plan(GOOD, "frontend.args.header=[a, b]").by_name["router-0"]
    assert router.command[-4:] == ("--header", "a", "--header", "b")


STARTED = (
    "\x1b[2m2026-11-28 02:32:14\x1b[0m \x1b[32m INFO\x1b[0m \x1b[1mhttp_request\x1b[0m\x1b[1m{"
    "\x1b[0m\x1b[3mmethod\x1b[0m\x1b[2m=\x1b[0mGET \x1b[3muri\x1b[0m\x1b[2m=\x1b[0m/%s "
    "\x1b[3mversion\x1b[0m\x1b[2m=\x1b[0mHTTP/1.1\x1b[1m}\x1b[0m\x1b[2m:\x1b[0m started processing"
)


@pytest.mark.parametrize("coloured", [True, False])
@pytest.mark.parametrize(
    ("path", "about_a_probe"),
    [("readiness", True), ("liveness", True), ("health", True), ("v1/completions", False),
     ("healthy", False)],
)  # fmt: skip
def test_a_line_about_a_probe_is_noise(coloured, path, about_a_probe):
    line = STARTED % path
    line = line if coloured else re.sub(r"\x1b\[[0-9;]*m", "", line)
    assert any(re.search(pattern, line) for pattern in ROUTER_NOISE) is about_a_probe
