"""For any recipe: a plan that keeps every promise, or problems, and never another exception."""

import copy
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pdsup.errors import InvalidDocument, WrongUsage
from pdsup.plan.compile import load
from pdsup.plan.compile.placement import router_nodes
from tests.plan.recipes import GOOD, Desk, recipe

MANY = settings(max_examples=150)
small = st.integers(0, 9)
gpus = st.none() | st.integers(1, 16)
RESOURCES = st.fixed_dictionaries(
    {"gpus_per_node": st.sampled_from([1, 2, 4, 8])},
    optional={
        "prefill_nodes": small,
        "prefill_workers": small,
        "gpus_per_prefill": gpus,
        "decode_nodes": small,
        "decode_workers": small,
        "gpus_per_decode": gpus,
        "spread_workers": st.booleans(),
    },
)
AGGREGATED = st.fixed_dictionaries(
    {"gpus_per_node": st.sampled_from([1, 4, 8]), "agg_nodes": small, "agg_workers": small},
    optional={"gpus_per_agg": gpus, "spread_workers": st.booleans()},
)
FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "enable-dp-attention": st.booleans(),
        "disaggregation-bootstrap-port": st.sampled_from([30001, 31000, 30032]),
        "port": st.sampled_from([30000, 8000, 29000]),
    },
)

# Where YAML ends a line, which is in more places than an editor does.
YAML_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def compiled(desk: Desk, text: str, variant: str | None = None):
    path = desk.write(text)
    try:
        found = load.check_all(path, nodes=None, variant=variant).plans
        return found[0][1] if len(found) == 1 else None
    except WrongUsage:
        assert variant is not None
        return None
    except InvalidDocument as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message
            assert 1 <= problem.line <= len(YAML_BREAK.split(text)) + 1
        return None


def value(command, flag):
    return command[command.index(flag) + 1] if flag in command else None


@MANY
@given(
    resources=RESOURCES | AGGREGATED,
    flags=FLAGS,
    additional=st.integers(0, 12),
    several=st.booleans(),
)
def test_a_plan_keeps_every_promise(desk, resources, flags, additional, several):
    config = {"sglang_config": {"prefill": flags, "aggregated": flags}}
    frontend = {
        "type": "sglang",
        "num_additional_frontends": additional,
        "enable_multiple_frontends": several,
    }
    plan = compiled(desk, recipe(resources, backend=config, frontend=frontend))
    if plan is None:
        return
    workers = [unit for unit in plan.units if unit.kind == "worker"]
    routers = [unit for unit in plan.units if unit.kind == "router"]
    leaders = [unit for unit in workers if unit.rank == 0]

    used = [(unit.node, gpu) for unit in workers for gpu in unit.gpus]
    assert len(used) == len(set(used))
    listeners = [(unit.node, port) for unit in plan.units for port in unit.ports.values()]
    assert len(listeners) == len(set(listeners))
    for role in ("prefill", "decode", "agg"):
        found = [unit for unit in leaders if unit.role == role]
        assert len(found) == resources.get(f"{role}_workers", 0)
        if (size := resources.get(f"gpus_per_{role}")) is not None:
            for leader in found:
                ranks = [u for u in workers if u is leader or u.gang == (leader.gang or 0)]
                assert sum(len(unit.gpus) for unit in ranks) == size
    for unit in workers:
        gang = [member for member in workers if unit.gang and member.gang == unit.gang]
        indices = [int(member.node.removeprefix("node")) for member in gang]
        assert [member.rank for member in gang] == list(range(len(gang)))
        assert indices == list(range(indices[0], indices[0] + len(gang))) if gang else True
        if unit.role == "prefill":
            leader = gang[0] if gang else unit
            own = value(unit.command, "--disaggregation-bootstrap-port")
            assert own == str(leader.ports["bootstrap"])

    expected = router_nodes(len(plan.nodes), additional if several else 0)
    assert [unit.node for unit in routers] == [f"node{index}" for index in expected]
    urls = {f"http://{unit.node}:{unit.ports['http']}": unit for unit in leaders}
    for router in routers:
        named = [word for word in router.command if word.startswith("http://")]
        assert named == list(urls)
        assert [need.unit for need in router.needs.units] == [unit.name for unit in leaders]
        for url, unit in urls.items():
            if unit.role == "prefill":
                assert value(router.command, url) == str(unit.ports["bootstrap"])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["sglang", "mock", "dynamo", "0.0.0.0", "30000"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
SETTINGS = [
    "name", "schema", "model", "model.path", "resources", "resources.prefill_nodes",
    "resources.prefill_workers", "resources.gpus_per_prefill", "resources.gpus_per_node",
    "resources.decode_nodes", "resources.spread_workers", "resources.het_jobs", "resources.x",
    "frontend", "frontend.type", "frontend.args", "frontend.args.prometheus-port",
    "frontend.args.policy", "frontend.env", "frontend.env.A", "frontend.use_sglang_router",
    "frontend.num_additional_frontends", "frontend.sglang_router_args",
    "frontend.nginx_keepalive_timeout", "backend", "backend.type", "backend.sglang_config",
    "backend.sglang_config.prefill", "backend.sglang_config.prefill.port",
    "backend.sglang_config.prefill.host", "backend.sglang_config.prefill.tp_size",
    "backend.sglang_config.decode.disaggregation-bootstrap-port",
    "backend.sglang_config.decode.model-path", "backend.sglang_config.decode.served-model-name",
    "backend.sglang_config.decode.nnodes", "backend.sglang_config.decode.disaggregation-mode",
    "backend.sglang_config.decode.nccl-port", "backend.prefill_environment",
    "backend.num_additional_frontends", "health_check", "health_check.max_attempts",
    "health_check.interval_seconds", "environment", "environment.A", "base", "sweep", "slurm",
    "plan", "nodes", "units", "backend.kv_events_config", "frontend.launcher",
    "frontend.nginx_client_max_body_size", "override_x", "zip_override_y", "sweep.a",
]  # fmt: skip


def put(values, path, value):
    *tables, key = path.split(".")
    for table in tables:
        inner = values.get(table)
        values[table] = values = inner if isinstance(inner, dict) else {}
    values[key] = value


@MANY
@given(changes=st.lists(st.tuples(st.sampled_from(SETTINGS), anything), max_size=5))
def test_any_recipe_gives_a_plan_or_problems(desk, changes):
    values = yaml.safe_load(GOOD)
    for path, value in changes:
        put(values, path, value)
    compiled(desk, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


ROLES = """\
schema: 2
name: two
model: {path: /m}
frontend: {type: sglang-router}
roles:
  prefill: {nodes: 1, workers: 1}
  decode: {nodes: 1, workers: 1}
"""
ROLES_SETTINGS = [
    "schema", "engine", "engine.type", "resources", "resources.gpus_per_node",
    "resources.het_jobs", "resources.spread_workers", "roles", "roles.agg", "roles.agg.workers",
    "roles.prefill", "roles.prefill.nodes", "roles.prefill.workers", "roles.prefill.gpus",
    "roles.prefill.args", "roles.prefill.args.port", "roles.prefill.env", "roles.prefill.env.A",
    "roles.prefill.extra_args", "roles.prefill.kv_events", "roles.prefill.kv_events.endpoint",
    "roles.prefill.restart", "roles.prefill.restart.policy", "roles.prefill.restart.backoff",
    "roles.prefill.restart.max_restarts", "roles.decode", "roles.decode.nodes",
    "roles.decode.critical", "roles.x", "frontend", "frontend.type", "frontend.args",
    "frontend.launcher", "frontend.env", "services", "placement",
]  # fmt: skip
of_roles = anything | st.sampled_from(["colocate", "smg", "sglang-router", "tcp://*:5557"])


@MANY
@given(changes=st.lists(st.tuples(st.sampled_from(ROLES_SETTINGS), of_roles), max_size=5))
def test_any_recipe_of_schema_2_gives_a_plan_or_problems(desk, changes):
    values = yaml.safe_load(ROLES)
    for path, value in changes:
        put(values, path, value)
    compiled(desk, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


@MANY
@given(resources=RESOURCES, flags=FLAGS, additional=st.integers(0, 12))
def test_both_schemas_give_the_same_plan_or_are_both_refused(desk, resources, flags, additional):
    roles = {
        role: {
            key: resources[name]
            for key, name in (
                ("nodes", f"{role}_nodes"),
                ("workers", f"{role}_workers"),
                ("gpus", f"gpus_per_{role}"),
            )
            if name in resources
        }
        for role in ("prefill", "decode")
    }
    roles["prefill"]["args"] = flags
    nodes = {key: resources[key] for key in ("gpus_per_node", "spread_workers") if key in resources}
    front = {"num_additional_frontends": additional}
    first = recipe(
        resources,
        frontend={"type": "sglang", **front},
        backend={"sglang_config": {"prefill": flags}},
    )
    second = recipe(nodes, schema=2, frontend={"type": "sglang-router", **front}, roles=roles)
    assert compiled(desk, first) == compiled(desk, second)


VARIANTS = {
    "base": yaml.safe_load(GOOD),
    "override_a": {"resources": {"decode_nodes": 2}},
    "zip_override_b": {"name": ["x", "y"], "resources": {"gpus_per_node": [4, 8]}},
}
VARIANT_SETTINGS = [
    *("base", "override_a", "zip_override_b", "zip_override_b.name", "override_", "zip_override_"),
    *("zip_override_b.resources", "zip_override_b.resources.gpus_per_node", "schema", "plan"),
    *("base.name", "base.sweep", "base.sweep.a", "override_a.sweep", "override_a.name", "x"),
    *("override_a.resources.decode_nodes", "override_a.environment.A", "base.resources"),
]


@MANY
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(VARIANT_SETTINGS), anything | st.just("{a}")), max_size=5
    ),
    choice=st.none() | st.sampled_from(["base", "override_a", "zip*", "x", "[", "*"]),
)
def test_any_file_of_variants_gives_plans_or_problems(desk, changes, choice):
    values = copy.deepcopy(VARIANTS)
    for path, value in changes:
        put(values, path, value)
    compiled(desk, yaml.safe_dump(values, sort_keys=False, allow_unicode=True), choice)


scalars = st.one_of(st.integers(), st.booleans(), st.text(max_size=5), st.floats())


@MANY
@given(axes=st.dictionaries(st.text(max_size=4), st.lists(scalars, max_size=4), max_size=3))
def test_any_sweep_gives_plans_or_problems(desk, axes):
    values = yaml.safe_load(GOOD)
    values["environment"] = {f"V{i}": f"{{{key}}}" for i, key in enumerate(axes)}
    values["sweep"] = axes
    compiled(desk, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


PLAN_SETTINGS = [
    "plan", "name", "bind", "control_port", "nodes", "nodes.0", "nodes.0.name", "units",
    "units.0", "units.0.name", "units.0.kind", "units.0.node", "units.0.rank", "units.0.gang",
    "units.0.gpus", "units.0.ports", "units.0.ports.http", "units.0.command", "units.0.env",
    "units.0.probes", "units.0.probes.startup", "units.0.probes.startup.checks",
    "units.0.probes.startup.period_s", "units.0.restart", "units.0.restart.factor",
    "units.0.stop", "units.0.stop.signal", "units.0.log", "units.0.log.file", "units.2.needs",
    "units.2.needs.units", "units.2.needs.units.0", "units.2.needs.units.0.unit",
    "units.2.command", "units.4.nginx", "units.4.nginx.upstreams", "units.4.nginx.upstreams.0",
]  # fmt: skip


def put_in_plan(values, path, value):
    *tables, last = (int(key) if key.isdecimal() else key for key in path.split("."))
    try:
        for key in tables:
            values = values[key]
        values[last] = value
    except (KeyError, IndexError, TypeError):
        pass  # an earlier change took the table away


PLAN = yaml.safe_load(
    """
plan: 1
name: small
nodes: [{name: a, address: a}, {name: b, address: b}]
units:
- {name: w, kind: worker, role: agg, rank: 0, node: a, gpus: [0], ports: {http: 1}, command: [w],
   env: {A: b}, probes: {startup: {checks: [{port: http}], period_s: 1, timeout_s: 1}},
   restart: {factor: 2}, stop: {signal: TERM}, log: {file: x}}
- {name: g, kind: worker, role: agg, rank: 0, gang: x, node: b, command: [w]}
- {name: r, kind: router, node: a, ports: {http: 2}, needs: {units: [{unit: w, ports: [http]}]},
   command: [r, --worker-urls, "http://a:1"]}
- {name: s, kind: service, node: b, command: [s]}
- {name: n, kind: nginx, node: a, ports: {http: 3, status: 4}, command: [n],
   nginx: {upstreams: [r]}}
"""
)


@MANY
@given(changes=st.lists(st.tuples(st.sampled_from(PLAN_SETTINGS), anything), max_size=4))
def test_any_plan_is_good_or_has_problems(desk, changes):
    values = copy.deepcopy(PLAN)
    for path, value in changes:
        put_in_plan(values, path, value)
    compiled(desk, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


@MANY
@given(cut=st.integers(0, len(GOOD)), paste=st.text(max_size=6), drop=st.integers(0, 20))
def test_any_damage_to_a_recipe_gives_a_plan_or_problems(desk, cut, paste, drop):
    compiled(desk, GOOD[:cut] + paste + GOOD[cut + drop :])


def written(value):
    return yaml.safe_dump(value, default_flow_style=True).strip()


@MANY
@given(
    setting=st.text(max_size=30)
    | st.builds("{}={}".format, st.sampled_from(SETTINGS), anything.map(written))
)
def test_any_override_gives_a_plan_or_problems(desk, setting):
    try:
        load.check(desk.write(GOOD), nodes=None, overrides=(setting,))
    except InvalidDocument as error:
        assert all(problem.message for problem in error.problems)


@pytest.mark.parametrize("routers", [400, 10_000])
def test_a_plan_that_would_fill_the_memory_is_refused(desk, routers):
    text = recipe(
        {"agg_nodes": 1000, "agg_workers": 1000},
        frontend={"type": "sglang", "num_additional_frontends": routers},
    )
    problem = desk.problem(text)
    assert problem.path == "frontend.num_additional_frontends"
    assert "too large" in problem.message
