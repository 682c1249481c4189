"""What the settings of a recipe mean, in each of its forms, and what is wrong with a wrong one."""

import json

import pytest

from pdsup.plan.front import front_of
from tests.plan.recipes import GOOD, ONE_EACH, recipe


def units(plan, kind):
    return [unit for unit in plan.units if unit.kind == kind]


def value(command, flag):
    return command[command.index(flag) + 1]


@pytest.mark.parametrize(
    "tables",
    [
        {"frontend": {"type": "sglang", "num_additional_frontends": 1}},
        {"frontend": {"use_sglang_router": True, "num_additional_frontends": 1}},
        {"frontend": None, "backend": {"use_sglang_router": True, "num_additional_frontends": 1}},
        {
            "frontend": {"type": "sglang"},
            "backend": {"use_sglang_router": False, "num_additional_frontends": 1},
        },
    ],
    ids=["type", "use under frontend", "use under backend", "type over use"],
)
def test_every_form_of_asking_for_the_router_gives_the_same_plan(desk, tables):
    reference = desk.plan(recipe(ONE_EACH), "frontend.num_additional_frontends=1")
    assert desk.plan(recipe(ONE_EACH, **tables)) == reference
    assert len(units(reference, "router")) == 2


@pytest.mark.parametrize("table", ["frontend", "backend"])
def test_without_multiple_frontends_one_router_takes_port_8000_and_there_is_no_nginx(desk, table):
    plan = desk.plan(recipe(ONE_EACH), f"{table}.enable_multiple_frontends=false")
    (router,) = units(plan, "router")
    assert (router.node, router.ports["http"]) == ("n0", 8000)
    assert units(plan, "nginx") == []
    assert front_of(plan) == "http://n0:8000"


def test_one_node_has_nginx_before_its_only_router_as_srtctl_does(desk):
    plan = desk.plan(recipe({"agg_nodes": 1, "agg_workers": 1}))
    assert [unit.name for unit in plan.units] == ["agg-0", "router-0", "nginx"]


@pytest.mark.parametrize(
    ("frontend", "words"),
    [
        ({}, "defaults to dynamo"),
        ({"type": "dynamo"}, "dynamo is not supported yet"),
        ({"type": "dynamo", "use_sglang_router": True}, "but frontend.use_sglang_router is true"),
        ({"type": "vllm"}, "vllm is not supported yet"),
        ({"type": "sglan"}, "is unknown"),
    ],
)
def test_another_frontend_is_refused_with_the_setting_to_use(desk, frontend, words):
    problem = desk.problem(recipe(ONE_EACH, frontend=frontend))
    assert problem.path == "frontend.type"
    assert words in problem.message
    assert "type: sglang" in problem.message


def test_settings_of_the_old_and_the_new_place_may_not_differ(desk):
    problem = desk.problem(
        recipe(
            ONE_EACH,
            frontend={"type": "sglang", "num_additional_frontends": 1},
            backend={"num_additional_frontends": 2},
        )
    )
    assert problem.path == "backend.num_additional_frontends"


def test_the_environment_of_a_worker_is_its_roles_and_then_the_global_one(desk):
    plan = desk.plan(
        recipe(
            ONE_EACH,
            backend={"prefill_environment": {"A": "role", "B": "role", "N": 3}},
            environment={"B": "global", "WHERE": "{node} {node_id}"},
        )
    )
    prefill, decode = units(plan, "worker")
    assert prefill.env == {"A": "role", "B": "global", "N": "3", "WHERE": "n0 0"}
    assert decode.env == {"B": "global", "WHERE": "n1 1"}


def test_the_environment_of_a_router_is_the_global_one_and_then_the_frontends(desk):
    plan = desk.plan(
        recipe(ONE_EACH, environment={"A": "1", "B": "1"}),
        "frontend.env.B=front",
    )
    assert units(plan, "router")[0].env == {"A": "1", "B": "front"}
    assert units(plan, "nginx")[0].env == {}


def test_a_worker_may_load_for_as_long_as_the_health_check_says(desk):
    plan = desk.plan(recipe(ONE_EACH, health_check={"max_attempts": 360, "interval_seconds": 10}))
    assert plan.units[0].probes.startup.deadline_s == 3600.0
    half = desk.plan(recipe(ONE_EACH, health_check={"max_attempts": 360, "interval_seconds": 5}))
    assert half.units[0].probes.startup.deadline_s == 1800.0


def test_without_a_health_check_a_worker_may_load_for_an_hour(desk):
    assert desk.plan(GOOD).units[0].probes.startup.deadline_s == 3600.0


def test_router_arguments_go_over_the_defaults_and_null_removes_one(desk):
    plan = desk.plan(
        recipe(
            ONE_EACH,
            frontend={
                "type": "sglang",
                "args": {
                    "policy": "cache_aware",
                    "cb_timeout_duration_secs": 30,
                    "log-level": None,
                    "disable-retries": True,
                    "prometheus-port": 29500,
                },
            },
        )
    )
    router = units(plan, "router")[0]
    assert value(router.command, "--policy") == "cache_aware"
    assert value(router.command, "--cb-timeout-duration-secs") == "30"
    assert value(router.command, "--prometheus-port") == "29500"
    assert router.ports["prometheus"] == 29500
    assert "--log-level" not in router.command
    assert router.command[-1] == "--disable-retries"


def test_the_older_name_of_router_arguments_is_understood(desk):
    plan = desk.plan(
        recipe(ONE_EACH, frontend={"type": "sglang", "sglang_router_args": {"policy": "random"}})
    )
    assert value(units(plan, "router")[0].command, "--policy") == "random"


def test_the_keepalive_of_nginx_can_be_chosen(desk):
    plan = desk.plan(GOOD, "frontend.nginx_keepalive_timeout=75s")
    assert units(plan, "nginx")[0].nginx.keepalive_timeout == "75s"


def test_the_largest_body_that_nginx_takes_can_be_chosen(desk):
    plan = desk.plan(GOOD, "frontend.nginx_client_max_body_size=1g")
    assert units(plan, "nginx")[0].nginx.client_max_body_size == "1g"
    problem = desk.problem(GOOD, "frontend.nginx_client_max_body_size=1 g")
    assert problem.path == "frontend.nginx_client_max_body_size"


@pytest.mark.parametrize(
    ("setting", "good", "bad", "told"),
    [
        ("nginx_stream_timeout", "90m", "1 day", "a time like 24h"),
        ("nginx_balance", "least-conn", "random", "must be one of"),
        ("nginx_session_affinity", True, "maybe", "must be true or false"),
        ("nginx_session_affinity_header", "Session", "a b", "a name like X-Session-ID"),
        ("nginx_prefix", "/scratch/nginx", "scratch", "an absolute path"),
    ],
)
def test_what_nginx_does_can_be_chosen(desk, setting, good, bad, told):
    path = f"frontend.{setting}"
    (nginx,) = units(desk.plan(GOOD, f"{path}={json.dumps(good)}"), "nginx")
    assert getattr(nginx.nginx, setting.removeprefix("nginx_")) == good
    problem = desk.problem(GOOD, f"{path}={json.dumps(bad)}")
    assert (problem.path, told in problem.message) == (path, True), problem


def test_nginx_may_be_another_program_with_another_directory(desk):
    chosen = ("frontend.nginx_binary=/opt/nginx", "frontend.nginx_prefix=/scratch/x")
    (nginx,) = units(desk.plan(GOOD, *chosen), "nginx")
    assert nginx.command[:3] == ("/opt/nginx", "-p", "/scratch/x/")
    assert units(desk.plan(GOOD), "nginx")[0].command[:3] == ("nginx", "-p", "{state_dir}/")
    assert desk.problem(GOOD, "frontend.nginx_binary=''").path == "frontend.nginx_binary"


def test_a_recipe_for_the_stand_in_or_a_flag_chooses_the_engine(desk):
    by_recipe = desk.plan(recipe(ONE_EACH, backend={"type": "mock"}))
    by_flag = desk.plan(recipe(ONE_EACH), engine="mock")
    real = desk.plan(recipe(ONE_EACH, backend={"type": "mock"}), engine="sglang")
    assert by_recipe == by_flag
    assert by_flag.units[0].command[:3] == ("python3", "-m", "pdsup.mock.worker")
    assert real.units[0].command[:3] == ("python3", "-m", "sglang.launch_server")


def test_settings_that_only_srtctl_uses_are_accepted(desk):
    text = GOOD + "slurm: {account: x}\nbenchmark: {type: manual}\ntelemetry: [1]\n"
    assert desk.plan(text) == desk.plan(GOOD)


def test_settings_given_as_nothing_are_as_left_out(desk):
    assert desk.plan(GOOD + "backend:\nhealth_check: null\nenvironment: ~\n") == desk.plan(GOOD)


@pytest.mark.parametrize(
    ("setting", "path", "words"),
    [
        ("name=a/b", "name", "letters"),
        ("name=3", "name", "must be text, not 3; put it in quotes"),
        ("model=null", "model.path", "is missing"),
        ("model.path=", "model.path", "is missing"),
        ("modle={}", "modle", "did you mean model?"),
        ("resources.prefil_nodes=1", "resources.prefil_nodes", "did you mean prefill_nodes?"),
        ("resources.gpus_per_node=x", "resources.gpus_per_node", 'a whole number, not "x"'),
        ("resources.gpus_per_node=4.5", "resources.gpus_per_node", "a whole number, not 4.5"),
        ("resources.spread_workers=1", "resources.spread_workers", "true or false, not 1"),
        ("resources=[1]", "resources", "must be a table of settings, not a list"),
        ("frontend.args=3", "frontend.args", "must be a table of settings, not 3"),
        ("frontend.num_additional_frontends=-1", "frontend.num_additional_frontends", "0 to"),
        ("frontend.args.port=1", "frontend.args.port", "can't be set"),
        ("frontend.args.prometheus-port=x", "frontend.args.prometheus-port", "must be a port"),
        ("frontend.args.--x=1", "frontend.args.--x", "can't be the name of a flag"),
        ("frontend.env.A=[1]", "frontend.env.A", "must be text, not a list"),
        ("frontend.nginx_keepalive_timeout=75 s", "frontend.nginx_keepalive_timeout", "like 600s"),
        ("backend.type=vllm", "backend.type", "must be one of 'sglang', 'mock'"),
        ("backend.spread_workers=true", "backend.spread_workers", "belongs under resources"),
        ("backend.health_check={}", "backend.health_check", "belongs at the top level"),
        ("backend.sglang_config.prefil={}", "backend.sglang_config.prefil", "did you mean prefill"),
        ("health_check.max_attempts=0", "health_check.max_attempts", "more than 0"),
        ("environment.A=true", "environment.A", 'put it in quotes, as "1" or "true"'),
        ("environment={'A=': x}", "environment.A=", "can't be the name of a variable"),
        ("plan=1", "plan", "is not a known setting"),
        ("schema=3", "schema", "must be one of 1, 2, not 3"),
        ("sweep={}", "sweep", "must be in the file"),
        ("base={}", "base", "must be in the file"),
        ("override_x={}", "override_x", "must be in the file"),
    ],
)
def test_a_wrong_setting_is_one_problem_that_says_what_to_do(desk, setting, path, words):
    problem = desk.problem(GOOD, setting)
    assert problem.path == path
    assert words in problem.message
    assert problem.setting == setting or path == "model.path"


def test_every_mistake_is_reported_at_once_with_its_line(desk):
    text = """\
name: a b
sevrer: 1
model: {pth: x, path: 3}
resources:
  gpus_per_node: eight
  prefill_nodes: 1
  prefill_nodes: 2
  prefill_workers: 1
  decode_nodes: -1
  decode_workers: 3.5
  num_additional_frontends: 3
frontend:
  type: sglan
  enable_multiple_frontends: yep
  args: {port: 3, prometheus_port: 99999}
backend:
  type: mok
  prefill_enviroment: {}
  prefill_environment: {A: true, "B=": x, C: [1]}
  sglang_config:
    prefill:
      host: 1.2.3.4
      tp-size: 3
      tp_size: 4
      disaggregation-mode: decode
      disaggregation-bootstrap-port: 31000
    decode:
      disaggregation-bootstrap-port: 30001
      port: 70000
    prefil: {}
health_check: {max_attempts: 0, interval_secs: 2}
environment: {1: x}
"""
    problems = desk.problems(text)
    assert [problem.line for problem in problems] == [
        *(1, 2, 3, 3, 5, 7, 9, 10, 11, 13, 14, 15, 15, 17, 18, 19, 19, 19),
        *(22, 24, 25, 28, 29, 30, 31, 31, 32),
    ]
    assert len({(problem.line, problem.column) for problem in problems}) == len(problems)


def test_a_wrong_setting_hides_no_other_but_what_follows_from_it_is_not_told(desk):
    problem = desk.problem(recipe(ONE_EACH | {"decode_workers": "two"}))
    assert problem.path == "resources.decode_workers"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_recipe_is_called_empty(desk, text):
    assert desk.problem(text).message == "is empty"


@pytest.mark.parametrize("text", ["[1]", "just words", "3"])
def test_a_recipe_is_a_table(desk, text):
    assert "must be a table" in desk.problem(text).message


def test_what_is_not_yaml_has_one_problem_with_its_place(desk):
    problem = desk.problem(GOOD + "backend: [\n")
    assert "not YAML" in problem.message
    assert problem.line == GOOD.count("\n") + 2
