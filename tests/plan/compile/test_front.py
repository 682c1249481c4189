"""What clients talk to: routers with their gates, nginx, the benchmark."""

import pytest

from pdsup.plan import defaults
from pdsup.plan.engines import sglang
from pdsup.plan.front import front_of
from pdsup.plan.frontends import sglang_router
from pdsup.plan.model import Node
from tests.plan.recipes import ONE_EACH, flags, recipe


def test_a_router_waits_for_every_leader_and_later_for_one_of_each_role(desk):
    plan = desk.plan(recipe(ONE_EACH | {"decode_nodes": 2}))
    needs = plan.by_name["router-2"].needs
    assert [(need.unit, need.ports) for need in needs.units] == [
        ("prefill-0", ("http", "bootstrap")),
        ("decode-0.0", ("http",)),
    ]
    assert needs.later == "one-per-role"


def test_nginx_balances_over_all_routers_and_waits_for_none(desk):
    nginx = desk.plan(recipe(ONE_EACH)).by_name["nginx"]
    assert nginx.nginx.upstreams == ("router-0", "router-1")
    assert nginx.needs.units == ()
    assert nginx.ports == {"http": 8000, "status": 30081}
    assert nginx.command[:3] == ("nginx", "-p", "{state_dir}/")


def test_log_files_have_the_names_that_srtctls_tools_read(desk):
    plan = desk.plan(recipe(ONE_EACH | {"decode_nodes": 2}))
    assert [unit.log.file for unit in plan.units] == [
        *("n0_prefill_w0.out", "n1_decode_w0.out", "n2_decode_w0.out"),
        *("n0_router_0.out", "n1_router_1.out", "n2_router_2.out", "n0_nginx.out"),
    ]


def test_everything_has_stopped_before_slurm_kills_it():
    stops = (defaults.NGINX_STOP, sglang_router.ROUTER_STOP, sglang.WORKER_STOP)
    assert sum(stop.timeout_s for stop in stops) < 30
    grace = sglang_router.ROUTER_ARGS["shutdown-grace-period-secs"]
    assert grace < sglang_router.ROUTER_STOP.timeout_s


def test_a_benchmark_with_a_command_is_a_unit_behind_all_that_clients_meet(desk):
    plan = desk.plan(recipe(ONE_EACH, benchmark={"type": "custom", "command": "./run.sh -n '4 8'"}))
    unit = plan.by_name["benchmark"]
    assert (unit.kind, unit.node, unit.command) == ("benchmark", "n0", ("./run.sh", "-n", "4 8"))
    assert unit.env["PDSUP_URL"] == "http://n0:8000"
    assert [need.unit for need in unit.needs.units] == ["router-0", "router-1", "nginx"]
    assert (unit.restart.policy, unit.log.file) == ("never", "benchmark.out")


@pytest.mark.parametrize(
    "text", ["./run.sh $SRT_FRONTEND_HOST", "a && b", "a | tee x", "a\nb", "a > b", "(a)"]
)
def test_a_command_that_only_a_shell_understands_gets_one(desk, text):
    unit = desk.plan(recipe(ONE_EACH, benchmark={"command": text})).by_name["benchmark"]
    assert unit.command == ("bash", "-lc", text)


def test_a_benchmark_has_the_variables_that_its_recipe_gives_it(desk):
    table = {"type": "custom", "command": "./run.sh", "env": {"ROUNDS": 3, "MODE": "quick"}}
    unit = desk.plan(recipe(ONE_EACH, benchmark=table)).by_name["benchmark"]
    assert unit.env == {
        "PDSUP_URL": "http://n0:8000", "SRT_FRONTEND_HOST": "n0", "SRT_FRONTEND_PORT": "8000",
        "SRT_PREFILL_IPS": "n0", "SRT_PREFILL_ENDPOINTS": "n0:30000",
        "SRT_DECODE_IPS": "n1", "SRT_DECODE_ENDPOINTS": "n1:30000",
        "AIPERF_SERVER_METRICS_URLS": "http://n0:30000/metrics,http://n1:30000/metrics",
        "ROUNDS": "3", "MODE": "quick",
    }  # fmt: skip
    wrong = desk.problem(recipe(ONE_EACH, benchmark={**table, "env": [1]}))
    assert wrong.path == "benchmark.env"


def test_the_benchmark_of_one_aggregated_worker_talks_to_it(desk):
    text = (
        "schema: 2\nname: one\nmodel: {path: /m}\nfrontend: {type: sglang}\n"
        "roles: {agg: {nodes: 1, workers: 1}}\nbenchmark: {command: [./run.sh]}\n"
    )
    unit = desk.plan(text).by_name["benchmark"]
    assert unit.env["PDSUP_URL"] == "http://n0:8000"
    assert [need.unit for need in unit.needs.units] == ["agg-0"]


@pytest.mark.parametrize("table", [None, {}, {"type": "sa-bench", "isl": 1024}])
def test_a_benchmark_without_a_command_is_no_unit(desk, table):
    assert "benchmark" not in desk.plan(recipe(ONE_EACH, benchmark=table)).by_name


def test_a_benchmark_that_is_no_table_and_a_command_that_is_none_are_told(desk):
    assert desk.problem(recipe(ONE_EACH, benchmark=[1])).path == "benchmark"
    wrong = desk.problem(recipe(ONE_EACH, benchmark={"command": {"a": 1}}))
    assert (wrong.path, wrong.message) == (
        "benchmark.command",
        "must be a list of words, not a table",
    )


def test_the_stops_in_front_of_workers_and_theirs_fit_into_slurms_kill_wait(desk):
    plan = desk.plan(recipe(ONE_EACH, benchmark={"command": "x"}))
    by_kind = {unit.kind: unit.stop.timeout_s for unit in plan.units}
    assert sum(by_kind.values()) < 30


def test_a_recipe_may_say_how_many_workers_are_enough_for_routers(desk):
    counts = {"start_with": {"prefill": 1}, "restart_with": {"decode": 1}}
    plan = desk.plan(recipe(ONE_EACH, frontend={"type": "sglang", **counts}))
    needs = plan.by_name["router-1"].needs
    assert (needs.first_at_least, needs.later_at_least) == ({"prefill": 1}, {"decode": 1})


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"prefill": 2}, "must be 1 to 1, not 2"),
        ({"decode": 0}, "must be 1 to 1, not 0"),
        ({"agg": 1}, "router-0 needs no worker of role 'agg'"),
    ],
)
@pytest.mark.parametrize("key", ["start_with", "restart_with"])
def test_more_workers_than_there_are_are_told_where_they_are_asked_for(desk, key, counts, message):
    (role,) = counts
    found = desk.problems(recipe(ONE_EACH, frontend={"type": "sglang", key: counts}))
    assert (found[0].path, found[0].message) == (f"frontend.{key}.{role}", message)


def test_on_one_machine_every_listener_binds_to_its_nodes_address(desk):
    nodes = tuple(Node(name=f"node{i}", address=f"127.0.9.{i + 1}") for i in range(2))
    plan = desk.plan(recipe(ONE_EACH), nodes=nodes, bind="address")
    for unit in plan.units[:-1]:
        line = flags(unit.command)
        assert line["--host"] == [plan.address[unit.node]]
        assert line.get("--prometheus-host", line["--host"]) == line["--host"]
    assert plan.bind == "address"
    assert front_of(plan) == "http://127.0.9.1:8000"


def test_no_flag_of_a_unit_is_given_twice(desk):
    for unit in desk.plan(recipe(ONE_EACH)).units[:-1]:
        flags(unit.command)
