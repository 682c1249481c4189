"""``restart``, ``log`` and the port for clients, in recipes of both schemas."""

import pytest

from pdsup.plan.front import front_of
from pdsup.plan.model import Log, Restart
from tests.plan.recipes import GOOD

SCHEMA_2 = """\
schema: 2
name: good
model: {path: /models/small}
engine: sglang
roles:
  prefill: {nodes: 1, workers: 1}
  decode: {nodes: 1, workers: 1}
frontend: {type: sglang-router}
"""
AGGREGATED = "resources={gpus_per_node: 8, agg_nodes: 2, agg_workers: 2}"
KINDS = ["prefill", "decode", "router", "nginx"]
BOTH = pytest.mark.parametrize("text", [GOOD, SCHEMA_2], ids=["schema 1", "schema 2"])


def of(plan, kind):
    """The units of a role or a kind."""
    return [unit for unit in plan.units if kind in (unit.role, unit.kind)]


def others(plan, kind):
    return [unit for unit in plan.units if kind not in (unit.role, unit.kind)]


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_restarts_are_limited_by_role_and_kind(desk, text, kind):
    usual = desk.plan(text)
    plan = desk.plan(text, f"restart.{kind}={{max_restarts: 2, backoff: 7, policy: on-failure}}")
    assert of(plan, kind)
    for unit in of(plan, kind):
        restart = unit.restart
        assert (restart.max_failures, restart.first_delay_s) == (3, 7.0)
        assert restart.policy == "on-failure"
    assert others(plan, kind) == others(usual, kind)


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_logs_are_set_by_role_and_kind_and_keep_their_files(desk, text, kind):
    usual = desk.plan(text)
    given = "{mode: pipe, max_bytes: 1000000, keep: 2, timestamps: true}"
    plan = desk.plan(text, f"log.{kind}={given}")
    assert of(plan, kind)
    for unit, before in zip(of(plan, kind), of(usual, kind), strict=True):
        file = before.log.file
        assert unit.log == Log(file=file, mode="pipe", max_bytes=1_000_000, keep=2, timestamps=True)
    assert others(plan, kind) == others(usual, kind)


def test_aggregated_workers_and_benchmarks_have_settings_too(desk):
    settings = ("restart.agg.max_restarts=0", "log.agg.mode=pipe", "log.benchmark.mode=pipe")
    plan = desk.plan(GOOD, AGGREGATED, "benchmark.command=sleep 1", *settings)
    assert {unit.restart.max_failures for unit in of(plan, "agg")} == {1}
    assert {unit.log.mode for unit in (*of(plan, "agg"), *of(plan, "benchmark"))} == {"pipe"}


def test_the_default_allows_nine_restarts():
    assert Restart().max_failures == 10


@BOTH
@pytest.mark.parametrize(
    ("setting", "path", "words"),
    [
        ("restart.decode.max_restarts=-1", "restart.decode.max_restarts", "must be 0 to"),
        ("restart.router.backoff=-1", "restart.router.backoff", "must be 0 to"),
        ("restart.nginx.max_restart=1", "restart.nginx.max_restart", "did you mean max_restarts?"),
        ("restart.decod={}", "restart.decod", "did you mean decode?"),
        ("log.decode.max_bytes=1000000", "log.decode.max_bytes", "needs mode: pipe"),
        ("log.router={mode: pipe, max_bytes: 1}", "log.router.max_bytes", "must be at least"),
        ("log.nginx={mode: pipe, keep: 0}", "log.nginx.keep", "must be 1 to"),
        ("log.decode.mode=pip", "log.decode.mode", "did you mean pipe?"),
        ("frontend.port=0", "frontend.port", "must be 1 to 65535"),
        ("frontend.port=30080", "frontend.port", "port 30080 on n"),
    ],
)
def test_a_wrong_setting_is_a_problem_at_its_place(desk, text, setting, path, words):
    problem = desk.problem(text, setting)
    assert problem.path == path
    assert words in problem.message


def test_a_role_of_schema_2_has_its_restart_in_one_place(desk):
    settings = ("restart.decode.max_restarts=1", "roles.decode.restart.max_restarts=2")
    problem = desk.problem(SCHEMA_2, *settings)
    assert (problem.path, problem.message) == (
        "restart.decode", "is set beside roles.decode.restart; keep one",
    )  # fmt: skip


@BOTH
def test_clients_have_the_port_that_the_recipe_says(desk, text):
    plan = desk.plan(text, "frontend.port=9000")
    (nginx,) = of(plan, "nginx")
    assert (nginx.ports["http"], front_of(plan)) == (9000, "http://n0:9000")
    alone = desk.plan(text, "frontend.port=9000", "frontend.enable_multiple_frontends=false")
    assert [unit.ports["http"] for unit in of(alone, "router")] == [9000]


def test_a_single_worker_without_a_router_has_that_port_too(desk):
    settings = ("roles={agg: {nodes: 1, workers: 1}}", "frontend={type: sglang, port: 9000}")
    assert front_of(desk.plan(SCHEMA_2, *settings)) == "http://n0:9000"
