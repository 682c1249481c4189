"""The usual probes: which programs are known, where they are asked, and whom they leave alone."""

import pytest

from pdsup.cli.screens import plan as plan_module
from pdsup.plan import defaults, programs
from pdsup.plan import programs as programs_module
from pdsup.plan.model import Check, Need, Needs, Node, Plan, PlanUnit
from pdsup.plan.programs import OTHER_RANK
from pdsup.plan.recipe.unused import Notes

OWN = "10.0.0.7"
ETCD = "http://{}:2379"
GENERATE = '["generate"]'


def unit(*command, name="it", kind="service", **settings):
    return PlanUnit(name=name, kind=kind, node="n", command=command, **settings)


def plan(*units, bind="any", address=OWN):
    return Plan(plan=1, name="p", bind=bind, nodes=(Node(name="n", address=address),), units=units)


def probed(given, **settings):
    """The one unit as it comes out."""
    return programs_module.probed(plan(given, **settings)).units[0]


def asked(given, **settings):
    """The ports and what a unit's first readiness check asks; None when it stays as it is."""
    found = probed(given, **settings)
    if found == given:
        return None
    check = found.probes.readiness.checks[0]
    return found.ports, check.path


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (("etcd",), "etcd"),
        (("/usr/bin/etcd", "--data-dir", "d"), "etcd"),
        (("etcd", "gateway", "start"), None),
        (("etcdctl", "get", "x"), None),
        (("nats-server", "-js"), "nats-server"),
        (("python3", "-m", "dynamo.frontend"), "frontend"),
        (("/v/bin/python3.11", "-u", "-m", "dynamo.frontend"), "frontend"),
        (("python3", "-m", "dynamo.frontend", "--kserve-grpc-server"), None),
        (("python3", "-m", "dynamo.sglang"), "worker"),
        (("python3", "-m", "dynamo.vllm", "--is-prefill-worker"), "worker"),
        (("python3", "-m", "dynamo.mocker"), "worker"),
        (("python3", "-m", "dynamo.sglang", "--endpoint", "dyn://a.b.c"), "component"),
        (("python3", "-m", "dynamo.planner"), "component"),
        (("python3", "-m", "dynamodb.server"), None),
        (("python3", "serve.py", "-m", "dynamo.frontend"), None),
        (("python3", "-m"), None),
        (("bash", "-c", "exec etcd"), None),
        (("sleep", "1000"), None),
    ],
)  # fmt: skip
def test_a_program_is_known_by_its_command(command, what):
    assert programs.program(unit(*command)) == what


def test_a_benchmark_is_no_server_whatever_it_runs():
    assert programs.program(unit("etcd", kind="benchmark")) is None


@pytest.mark.parametrize(
    ("words", "env", "found"),
    [
        ((), {}, ({"client": 2379}, "/health")),
        (("--listen-client-urls", ETCD.format(OWN)), {}, None),
        (("--listen-client-urls", "http://0.0.0.0:4001"), {}, ({"client": 4001}, "/health")),
        (("--listen-client-urls=http://127.0.0.1:4001/",), {}, ({"client": 4001}, "/health")),
        (("-listen-client-urls", f"{ETCD.format(OWN)},http://localhost:4001"), {},
         ({"client": 4001}, "/health")),
        (("--listen-client-urls", "https://0.0.0.0:2379"), {}, ({"client": 2379}, None)),
        (("--listen-client-urls", "https://0.0.0.0:1,http://0.0.0.0:2"), {},
         ({"client": 2}, "/health")),
        (("--listen-client-urls", "unix://it.sock"), {}, None),
        (("--listen-client-urls",), {}, ({"client": 2379}, "/health")),
        ((), {"ETCD_LISTEN_CLIENT_URLS": "http://0.0.0.0:4002"}, ({"client": 4002}, "/health")),
        (("--listen-client-urls", "http://0.0.0.0:1"),
         {"ETCD_LISTEN_CLIENT_URLS": "http://0.0.0.0:2"}, ({"client": 1}, "/health")),
        (("--listen-client-urls", "http://0.0.0.0:1", "--listen-client-http-urls",
          "http://0.0.0.0:2"), {}, ({"client": 2}, "/health")),
        (("--config-file", "etcd.yaml"), {}, None),
    ],
)  # fmt: skip
def test_etcd_is_asked_where_it_listens_for_its_nodes_agent(words, env, found):
    assert asked(unit("etcd", *words, env=env)) == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), ({"client": 4222}, None)),
        (("-p", "4333"), ({"client": 4333}, None)),
        (("-p", "-1"), None),
        (("-m", "8222"), ({"monitor": 8222}, "/healthz")),
        (("--http_port=8222", "-a", "127.0.0.1"), ({"monitor": 8222}, "/healthz")),
        (("-m", "8222", "-a", OWN), None),
        (("-ms", "8222"), ({"client": 4222}, None)),
        (("-c", "nats.conf"), None),
        (("-c", "nats.conf", "-m", "8222"), ({"monitor": 8222}, "/healthz")),
    ],
)
def test_nats_is_asked_on_its_monitoring_port_or_connected_to(words, found):
    assert asked(unit("nats-server", "-js", *words)) == found


@pytest.mark.parametrize("program", [("etcd", "--config-file=f"), ("nats-server", "-c", "f")])
def test_what_only_a_file_tells_is_connected_to_on_the_port_that_the_unit_names(program):
    found = probed(unit(*program, ports={"client": 4001, "peer": 4002}))
    assert found.ports == {"client": 4001, "peer": 4002}
    assert found.probes.startup.checks == (Check(port="client"),)
    assert found.probes.liveness is None


@pytest.mark.parametrize(
    ("words", "env", "found"),
    [
        ((), {}, ({"http": 8000}, "/health")),
        (("--http-port=8180",), {}, ({"http": 8180}, "/health")),
        (("--http-host", OWN), {}, None),
        ((), {"DYN_HTTP_PORT": "8181", "DYN_HTTP_HOST": "0.0.0.0"}, ({"http": 8181}, "/health")),
        (("--tls-cert-path", "c.pem"), {}, ({"http": 8000}, None)),
        ((), {"DYN_HTTP_SVC_HEALTH_PATH": "/h"}, None),
        (("--http-port", "x"), {}, None),
        (("--http-port", "99999"), {}, None),
    ],
)
def test_a_frontend_of_dynamo_is_asked_on_its_http_port(words, env, found):
    assert asked(unit("python3", "-m", "dynamo.frontend", *words, env=env)) == found


def test_a_frontend_is_of_use_when_it_has_a_model():
    found = probed(unit("python3", "-m", "dynamo.frontend"))
    for probe in (found.probes.startup, found.probes.readiness):
        assert [check.path for check in probe.checks] == ["/health", "/v1/models"]
    assert found.probes.startup.deadline_s == defaults.LOAD_DEADLINE_S


@pytest.mark.parametrize("between", [(), ("proxy",)])
def test_a_frontend_that_a_worker_waits_for_need_not_have_a_model(between):
    chain = ["frontend", *between]
    worker = unit("python3", "-m", "dynamo.vllm", name="worker", needs=_needs(chain[-1]))
    proxies = [unit("sleep", "9", name=name, needs=_needs("frontend")) for name in between]
    frontend = unit("python3", "-m", "dynamo.frontend", name="frontend", needs=_needs("etcd"))
    found = programs_module.probed(plan(worker, *proxies, frontend, unit("etcd", name="etcd")))
    probes = found.by_name["frontend"].probes
    assert [check.path for check in probes.startup.checks] == ["/health"]
    assert [check.path for check in probes.readiness.checks] == ["/health"]


def _needs(*names):
    return Needs(units=tuple(Need(unit=name) for name in names))


@pytest.mark.parametrize(
    ("module", "env", "check"),
    [
        ("sglang", {}, defaults.DYNAMO_SERVES),
        ("mocker", {"DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": "[]"}, defaults.DYNAMO_SERVES),
        ("sglang", {"DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": GENERATE}, defaults.DYNAMO_HEALTH),
        ("planner", {}, defaults.DYNAMO_LISTENS),
        ("planner", {"DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS": GENERATE}, defaults.DYNAMO_HEALTH),
    ],
)
def test_a_part_of_dynamo_is_asked_what_it_surely_says_on_its_system_port(module, env, check):
    given = unit("python3", "-m", f"dynamo.{module}", env={**env, "DYN_SYSTEM_PORT": "7500"})
    found = probed(given)
    assert found.ports == {"system": 7500}
    assert found.probes.startup.checks == found.probes.readiness.checks == (check,)


@pytest.mark.parametrize(
    "env",
    [{}, {"DYN_SYSTEM_PORT": "-1"}, {"DYN_SYSTEM_PORT": "0"},
     {"DYN_SYSTEM_PORT": "7500", "DYN_SYSTEM_HOST": OWN},
     {"DYN_SYSTEM_PORT": "7500", "DYN_SYSTEM_HEALTH_PATH": "/h"}],
)  # fmt: skip
def test_a_worker_of_dynamo_that_cannot_be_asked_stays_as_it_is(env):
    assert asked(unit("python3", "-m", "dynamo.vllm", env=env)) is None


def test_of_another_rank_only_the_processes_are_watched():
    rank = {"kind": "worker", "role": "decode", "rank": 1, "gang": "decode-0"}
    found = probed(unit("python3", "-m", "dynamo.sglang", env={"DYN_SYSTEM_PORT": "7500"}, **rank))
    assert found.probes == OTHER_RANK
    assert found.ports == {}


@pytest.mark.parametrize(
    ("bind", "address", "host", "is_asked"),
    [
        ("any", OWN, "127.0.0.1", True), ("any", OWN, "0.0.0.0", True), ("any", OWN, OWN, False),
        ("address", OWN, OWN, True), ("address", OWN, "0.0.0.0", True),
        ("address", OWN, "127.0.0.1", False), ("address", "127.0.0.1", "localhost", True),
        ("address", OWN, "[::]", True), ("address", OWN, "elsewhere", False),
        ("address", "fd00::7", "[fd00::7]", True), ("any", "fd00::7", "[::1]", True),
        ("any", "fd00::7", "[::]", True), ("any", "fd00::7", "[fd00::7]", False),
        ("any", "fd00::7", "127.0.0.1", False), ("any", "fd00::7", "0.0.0.0", False),
    ],
)  # fmt: skip
def test_a_program_is_asked_only_where_it_can_be_reached(bind, address, host, is_asked):
    given = unit("etcd", "--listen-client-urls", ETCD.format(host))
    assert (asked(given, bind=bind, address=address) is not None) == is_asked


def test_a_port_goes_by_the_name_that_the_unit_has_for_it():
    found = probed(unit("etcd", ports={"store": 2379}))
    assert found.ports == {"store": 2379}
    probes = found.probes
    for probe in (probes.startup, probes.readiness, probes.liveness):
        assert {check.port for check in probe.checks} == {"store"}


def test_a_unit_that_calls_another_port_so_stays_as_it_is():
    assert asked(unit("etcd", ports={"client": 4001})) is None


def test_checks_that_need_no_port_get_none():
    found = probed(unit("python3", "-m", "dynamo.vllm", env={"DYN_SYSTEM_PORT": "7500"}))
    assert [check.port for check in found.probes.liveness.checks] == [None, "system"]


@pytest.mark.parametrize("probes", [{}, {"progress": {"noise": ["x"]}}])
def test_a_unit_that_says_how_it_is_probed_keeps_that(desk, probes):
    text = f"""
plan: 1
name: p
nodes: [{{name: n, address: {OWN}}}]
units:
- {{name: own, kind: service, node: n, command: [nats-server], probes: {probes}}}
- {{name: usual, kind: service, node: n, command: [etcd]}}
"""
    found = desk.plan(text)
    assert found.by_name["own"].probes.startup is None
    assert found.by_name["own"].ports == {}
    assert found.by_name["usual"].probes == programs_module.ETCD


def test_two_programs_that_would_listen_on_one_port_are_a_problem_of_the_plan(desk):
    text = f"""
plan: 1
name: p
nodes: [{{name: n, address: {OWN}}}]
units:
- {{name: a, kind: service, node: n, command: [etcd]}}
- {{name: b, kind: service, node: n, command: [etcd]}}
"""
    found = desk.problem(text)
    assert found.message == "port 2379 on n is already used by a (client)"
    assert (found.path, found.line) == ("units.1.ports.client", 7)


def test_usual_probes_are_explained_like_all_others():
    told = "\n".join(
        plan_module.explain(programs_module.probed(plan(unit("etcd", name="etcd"))), Notes())
    )
    assert "GET /health on client with health = true, every 0.25 s" in told
    served = unit("python3", "-m", "dynamo.vllm", env={"DYN_SYSTEM_PORT": "7500"})
    told = "\n".join(plan_module.explain(programs_module.probed(plan(served)), Notes()))
    assert "GET /health on system with status 200 or 503 and endpoints.generate = ready" in told
