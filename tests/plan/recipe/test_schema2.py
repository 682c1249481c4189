"""Recipes of schema 2: the same cluster as in schema 1, written by role."""

import pytest

from pdsup.plan.compile.nodes import slurm_nodes
from pdsup.plan.front import front_of
from tests.plan.recipes import recipe

ROLES = """\
schema: 2
name: made
model: {path: /m, container: x}
engine: sglang
resources: {gpu_type: h100, gpus_per_node: 8}
frontend: {type: sglang-router}
roles:
  prefill:
    nodes: 2
    workers: 1
    env: {A: role, B: role}
    args: {tp-size: 16, disaggregation-bootstrap-port: 31000}
  decode:
    nodes: 1
    workers: 2
    gpus: 4
    args: {tp-size: 4}
    critical: true
    sidecar: {x: 1}
environment: {B: all}
services: []
"""
AGG = """\
schema: 2
name: made
model: {path: /m}
frontend: {type: sglang}
roles: {agg: {nodes: 2, workers: 1}}
"""
SAME = recipe(
    {
        "gpus_per_node": 8,
        "prefill_nodes": 2,
        "prefill_workers": 1,
        "decode_nodes": 1,
        "decode_workers": 2,
        "gpus_per_decode": 4,
    },
    backend={
        "prefill_environment": {"A": "role", "B": "role"},
        "sglang_config": {
            "prefill": {"tp-size": 16, "disaggregation-bootstrap-port": 31000},
            "decode": {"tp-size": 4},
        },
    },
    environment={"B": "all"},
)


def kinds(plan):
    return [unit.kind for unit in plan.units]


def test_both_schemas_say_the_same(desk):
    assert desk.load(ROLES).text == desk.load(SAME).text


def test_decode_may_share_the_nodes_of_prefill(desk):
    shared = ("roles.decode.nodes=colocate", "roles.prefill.gpus=4", "roles.prefill.nodes=1")
    plan = desk.plan(ROLES, *shared, "roles.decode.workers=1")
    assert [unit.node for unit in plan.units[:2]] == ["n0", "n0"]


def test_the_engine_is_a_name_or_a_table_with_a_type(desk):
    assert desk.plan(ROLES, "engine={type: sglang, x: 1}") == desk.plan(ROLES)
    assert desk.plan(ROLES, "engine=mock").units[0].command[2] == "pdsup.mock.worker"


def test_extra_arguments_end_the_command(desk):
    for given in ("['--x', 1]", "--x 1"):
        plan = desk.plan(ROLES, f"roles.decode.extra_args={given}")
        assert plan.by_name["decode-0"].command[-4:] == ("--tp-size", "4", "--x", "1")


def test_a_role_publishes_events(desk):
    plan = desk.plan(ROLES, "roles.decode.kv_events=true")
    assert plan.by_name["decode-1"].ports["kv-events"] == 5232
    assert "kv-events" not in plan.by_name["prefill-0.0"].ports


def test_a_role_says_how_it_is_started_again(desk):
    given = "roles.decode.restart={policy: on-failure, max_restarts: 3, backoff: 90}"
    restart = desk.plan(ROLES, given).by_name["decode-0"].restart
    assert (restart.policy, restart.max_failures) == ("on-failure", 4)
    assert (restart.first_delay_s, restart.delay_s, restart.limit_s) == (90.0, 90.0, 90.0)


def test_one_aggregated_server_stands_where_clients_expect_it_without_a_router(desk):
    plan = desk.plan(AGG)
    assert kinds(plan) == ["worker", "worker"]
    assert plan.units[0].ports["http"] == 8000
    assert front_of(plan) == "http://n0:8000"
    assert "9000" in desk.plan(AGG, "roles.agg.args.port=9000").units[0].command


def test_several_aggregated_workers_have_a_router(desk):
    plan = desk.plan(AGG, "frontend.type=sglang-router", "roles.agg.workers=2")
    assert kinds(plan) == ["worker", "worker", "router", "router", "nginx"]


def test_the_successor_of_the_router_is_a_frontend(desk):
    plan = desk.plan(ROLES, "frontend.type=smg")
    assert plan.by_name["router-0"].command[:2] == ("smg", "launch")


def test_what_the_frontend_says_is_used(desk):
    given = ("num_additional_frontends=1", "nginx_keepalive_timeout=75s", "env.A=1", "args.x=y")
    plan = desk.plan(ROLES, *(f"frontend.{setting}" for setting in given))
    assert kinds(plan)[-3:] == ["router", "router", "nginx"]
    assert plan.by_name["nginx"].nginx.keepalive_timeout == "75s"
    assert plan.by_name["router-1"].env == {"A": "1", "B": "all"}
    assert plan.by_name["router-1"].command[-2:] == ("--x", "y")


def test_spread_and_heterogeneous_are_as_in_schema_1(desk):
    environ = {"SLURM_JOB_NODELIST_HET_GROUP_0": "p[0-4]", "SLURM_JOB_NODELIST_HET_GROUP_1": "d"}
    plan = desk.plan(ROLES, "resources.het_jobs=true", nodes=slurm_nodes(environ))
    assert [node.name for node in plan.nodes] == ["p0", "p1", "d"]
    given = ("roles.decode.nodes=2", "resources.spread_workers=true")
    assert desk.plan(ROLES, *given).by_name["decode-1"].node == "n3"


@pytest.mark.parametrize(
    ("setting", "path", "words"),
    [
        ("roles.prefil={}", "roles.prefil", "did you mean prefill?"),
        ("roles.decode.worker=1", "roles.decode.worker", "did you mean workers?"),
        ("roles.decode.nodes=colocated", "roles.decode.nodes", "number or colocate, not"),
        ("roles.decode.nodes=true", "roles.decode.nodes", "must be a whole number"),
        ("roles.prefill.nodes=colocate", "roles.prefill.nodes", "only decode can share"),
        ("roles.prefill.nodes=3", "roles.decode.workers", ""),
        ("roles.decode.nodes=-1", "roles.decode.nodes", "must be 0 to"),
        ("roles.decode.workers=0", "roles.decode.workers", "must be at least 1: nodes is 1"),
        ("roles.decode.gpus=0", "roles.decode.gpus", "at least 1 GPU"),
        ("roles.decode.args.port=x", "roles.decode.args.port", "must be a port"),
        ("roles.decode.args=[1]", "roles.decode.args", "must be a table"),
        ("roles.decode.env.A=[1]", "roles.decode.env.A", "must be text"),
        ("roles.decode.extra_args='--x \"'", "roles.decode.extra_args", "quotation mark"),
        ("roles.decode.extra_args=[[1]]", "roles.decode.extra_args", "only texts and numbers"),
        ("roles.decode.extra_args=3", "roles.decode.extra_args", "must be a list of words"),
        ("roles.decode.kv_events=3", "roles.decode.kv_events", "true, false or a table"),
        ("roles.decode.restart.policy=x", "roles.decode.restart.policy", "one of 'always'"),
        ("roles.decode.restart.backoff=-1", "roles.decode.restart.backoff", "must be 0 to"),
        ("roles.decode.restart.max_restarts=-1", "roles.decode.restart.max_restarts", "0 to"),
        ("engine=vllm", "engine", "set engine: sglang"),
        ("engine={type: sglan}", "engine.type", "did you mean sglang?"),
        ("frontend.type=sglang", "frontend.type", "without a router; set frontend.type: sglang-r"),
        ("frontend.type=dynamo", "frontend.type", "set frontend.type: sglang-router"),
        ("frontend.type=x", "frontend.type", "is unknown"),
        ("frontend.type=null", "frontend.type", "defaults to dynamo"),
        ("frontend.use_sglang_router=true", "frontend.use_sglang_router", "not a known setting"),
        ("backend={}", "backend", "not a known setting"),
        ("resources.prefill_nodes=1", "resources.prefill_nodes", "not a known setting"),
        ("roles.agg={nodes: 1, workers: 1}", "roles.agg.workers", "can't be combined with prefill"),
    ],
)
def test_a_wrong_setting_is_one_problem_that_says_what_to_do(desk, setting, path, words):
    if not words:
        setting, words = "roles.decode.workers=9", "at most 8 fit"
        problem = desk.problem(ROLES, "roles.decode.gpus=null", setting)
    else:
        problem = desk.problem(ROLES, setting)
    assert problem.path == path
    assert words in problem.message
    assert problem.setting == setting


def test_the_cluster_needs_workers(desk):
    assert "names no workers; set roles.prefill" in desk.problem(ROLES, "roles=null").message
    assert "no decode workers (decode.workers)" in desk.problem(ROLES, "roles.decode=null").message
