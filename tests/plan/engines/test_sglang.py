"""Command lines, ports and environment of SGLang's workers."""

import json
import re

import pytest

from pdsup.plan.engines.known import derived_ports
from pdsup.plan.engines.sglang import WORKER_NOISE
from pdsup.plan.model import Node
from tests.plan.recipes import ONE_EACH, config, flags, recipe

SHARED = {
    "gpus_per_node": 8,
    "prefill_nodes": 1,
    "prefill_workers": 3,
    "gpus_per_prefill": 2,
    "decode_nodes": 0,
    "decode_workers": 1,
}


def test_a_prefill_worker_of_one_node(desk):
    text = recipe(
        ONE_EACH,
        backend=config(
            prefill={
                "served-model-name": "big",
                "zeta_flag": 0.85,
                "alpha": True,
                "off": False,
                "none": None,
                "list": [1, "b"],
                "table": {"a": [1]},
                "empty": [],
            }
        ),
    )
    assert desk.plan(text).by_name["prefill-0"].command == (
        *("python3", "-m", "sglang.launch_server"),
        *("--model-path", "/m", "--served-model-name", "big"),
        *("--host", "0.0.0.0", "--port", "30000"),
        *("--disaggregation-mode", "prefill", "--disaggregation-bootstrap-port", "30001"),
        *("--nccl-port", "30002"),
        *("--alpha", "--list", "1", "b", "--table", '{"a":[1]}', "--zeta-flag", "0.85"),
    )


def test_a_decode_worker_has_no_bootstrap_port(desk):
    text = recipe(ONE_EACH, backend=config(decode={"disaggregation-bootstrap-port": 30001}))
    decode = desk.plan(text).by_name["decode-0"]
    assert "bootstrap" not in decode.ports
    assert "--disaggregation-bootstrap-port" not in decode.command


def test_an_aggregated_worker_has_no_mode_and_its_router_a_plain_list(desk):
    plan = desk.plan(recipe({"agg_nodes": 2, "agg_workers": 2}))
    assert "--disaggregation-mode" not in plan.by_name["agg-0"].command
    router = flags(plan.by_name["router-0"].command)
    assert router["--worker-urls"] == ["http://n0:30000", "http://n1:30000"]
    assert "--pd-disaggregation" not in router


def test_ranks_meet_at_rank_0_and_have_the_same_bootstrap_port(desk):
    plan = desk.plan(recipe(ONE_EACH | {"prefill_nodes": 2}))
    leader, follower = plan.units[:2]
    for rank, unit in enumerate((leader, follower)):
        line = flags(unit.command)
        assert line["--dist-init-addr"] == ["n0:30003"]
        assert line["--nnodes"] == ["2"]
        assert line["--node-rank"] == [str(rank)]
        assert line["--disaggregation-bootstrap-port"] == ["30001"]
    assert leader.ports == {"http": 30000, "nccl": 30002, "bootstrap": 30001, "dist-init": 30003}
    assert follower.ports == {"http": 30000, "nccl": 30002}
    assert follower.probes.startup is None


def test_a_worker_of_one_node_is_told_nothing_of_ranks(desk):
    line = flags(desk.plan(recipe(ONE_EACH)).units[0].command)
    assert not {"--dist-init-addr", "--nnodes", "--node-rank"} & line.keys()


def test_workers_on_one_node_have_ports_of_their_own_and_see_their_gpus_only(desk):
    plan = desk.plan(recipe(SHARED))
    workers = plan.units[:4]
    assert [unit.ports["http"] for unit in workers] == [30000, 30032, 30064, 30096]
    assert [unit.ports.get("bootstrap") for unit in workers] == [30001, 30033, 30065, None]
    assert [unit.env["CUDA_VISIBLE_DEVICES"] for unit in workers] == ["0,1", "2,3", "4,5", "6,7"]
    assert flags(plan.by_name["router-0"].command)["--prefill"] == [
        *("http://n0:30000", "30001", "http://n0:30032", "30033", "http://n0:30064", "30065"),
    ]


def test_a_worker_with_all_gpus_of_its_node_is_not_told_which(desk):
    assert desk.plan(recipe(ONE_EACH)).units[0].env == {}


@pytest.mark.parametrize("role", ["prefill", "decode"])
def test_a_pinned_bootstrap_port_wins_everywhere(desk, role):
    text = recipe(ONE_EACH, backend=config(**{role: {"disaggregation_bootstrap_port": 31000}}))
    plan = desk.plan(text)
    prefill = plan.by_name["prefill-0"]
    assert prefill.ports["bootstrap"] == 31000
    assert flags(prefill.command)["--disaggregation-bootstrap-port"] == ["31000"]
    for router in ("router-0", "router-1"):
        assert flags(plan.by_name[router].command)["--prefill"] == ["http://n0:30000", "31000"]


def test_bootstrap_ports_pinned_to_different_numbers_are_refused(desk):
    problem = desk.problem(
        recipe(
            ONE_EACH,
            backend=config(
                prefill={"disaggregation-bootstrap-port": 31000},
                decode={"disaggregation-bootstrap-port": 30001},
            ),
        )
    )
    assert problem.path == "backend.sglang_config.decode.disaggregation-bootstrap-port"
    assert "30001 here and 31000 for prefill" in problem.message


def test_a_pinned_bootstrap_port_does_not_suit_two_prefills_on_a_node(desk):
    text = recipe(SHARED, backend=config(prefill={"disaggregation-bootstrap-port": 30001}))
    problem = desk.problem(text)
    assert problem.path == "backend.sglang_config.prefill.disaggregation-bootstrap-port"
    assert "port 30001 on node0 is already used by prefill-0 (bootstrap)" in problem.message


def test_a_pinned_http_port_is_the_one_the_routers_use(desk):
    plan = desk.plan(recipe(ONE_EACH, backend=config(decode={"port": 31234})))
    assert flags(plan.by_name["router-1"].command)["--decode"] == ["http://n1:31234"]


def test_ports_that_data_parallel_attention_opens_unasked_are_known(desk):
    pinned = {"enable-dp-attention": True, "port": 29000 - 235}
    problem = desk.problem(recipe(ONE_EACH, backend=config(prefill=pinned)))
    assert "port 29000 on node0 is already used by prefill-0 (attention-29000)" in problem.message


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        (("--port", "30000"), ()),
        (("--port", "30000", "--enable-dp-attention"), tuple(range(30233, 30239))),
        (
            ("--enable-dp-attention", "--dist-init-addr", "a:30003", "--node-rank", "0"),
            tuple(range(30004, 30009)),
        ),
        (("--enable-dp-attention", "--dist-init-addr", "a:30003", "--node-rank", "1"), ()),
        (("--enable-dp-attention",), ()),
    ],
)
def test_the_derived_ports_of_a_command(words, ports):
    assert [port for _, port in derived_ports(("x", *words))] == list(ports)


def test_eight_workers_with_data_parallel_attention_fit_on_a_node(desk):
    attention = {"enable-dp-attention": True}
    plan = desk.plan(
        recipe({"gpus_per_node": 8, "agg_nodes": 1, "agg_workers": 8},
               backend=config(aggregated=attention))
    )  # fmt: skip
    assert len(plan.units) == 10


@pytest.mark.parametrize(
    ("flag", "setting"),
    [
        ("host", "127.0.0.1"),
        ("nnodes", 2),
        ("node-rank", 0),
        ("dist_init_addr", "a:1"),
        ("disaggregation-mode", "decode"),
        ("port", 0),
        ("port", "many"),
        ("tp size", 1),
    ],
)
def test_a_flag_the_plan_decides_on_is_refused(desk, flag, setting):
    problem = desk.problem(recipe(ONE_EACH, backend=config(prefill={flag: setting})))
    assert problem.path == f"backend.sglang_config.prefill.{flag}"


def test_flags_that_say_what_is_so_anyway_are_accepted(desk):
    same = {"host": "0.0.0.0", "nnodes": 1, "disaggregation-mode": "prefill", "nccl-port": 17500}
    assert desk.plan(recipe(ONE_EACH, backend=config(prefill=same))) == desk.plan(recipe(ONE_EACH))


def test_a_flag_in_both_spellings_is_refused(desk):
    both = {"tp-size": 1, "tp_size": 2}
    problem = desk.problem(recipe(ONE_EACH, backend=config(prefill=both)))
    assert "--tp-size is given twice" in problem.message


@pytest.mark.parametrize(
    ("model", "given", "path", "name"),
    [
        ("/models/deepseek", {}, "/models/deepseek", "deepseek"),
        ("org/model", {}, "org/model", "model"),
        ("alias", {"model-path": "/model/"}, "/model/", "model"),
        ("alias", {"model": "/model/", "served_model_name": "x"}, "/model/", "x"),
    ],
)
def test_the_engine_gets_the_models_path_and_a_name_to_serve(desk, model, given, path, name):
    text = recipe(ONE_EACH, model={"path": model}, backend=config(prefill=given))
    line = flags(desk.plan(text).units[0].command)
    assert line["--model-path"] == [path]
    assert line["--served-model-name"] == [name]
    assert "--model" not in line


def test_a_prefills_bootstrap_server_is_asked_before_it_counts_as_started(desk):
    prefill, decode = desk.plan(recipe(ONE_EACH)).units[:2]
    assert [check.port for check in prefill.probes.startup.checks] == [
        "http", "bootstrap", "bootstrap",
    ]  # fmt: skip
    assert [check.port for check in decode.probes.startup.checks] == ["http"]
    assert [check.port for check in prefill.probes.readiness.checks] == ["http"]


def events(unit):
    """What a worker is told of publishing its cache's events."""
    return json.loads(flags(unit.command)["--kv-events-config"][0])


def test_workers_publish_the_events_of_their_caches_on_a_port_each(desk):
    plan = desk.plan(recipe(SHARED, backend={"kv_events_config": True}))
    workers = [unit for unit in plan.units if unit.kind == "worker"]
    assert [unit.ports["kv-events"] for unit in workers] == [5200, 5232, 5264, 5296]
    for unit in workers:
        endpoint = f"tcp://*:{unit.ports['kv-events']}"
        assert events(unit) == {"publisher": "zmq", "topic": "kv-events", "endpoint": endpoint}


def test_events_are_published_by_the_roles_that_say_so(desk):
    text = recipe(ONE_EACH, backend={"kv_events_config": {"prefill": {"topic": "mine"}}})
    plan = desk.plan(text)
    assert events(plan.by_name["prefill-0"])["topic"] == "mine"
    assert "kv-events" not in plan.by_name["decode-0"].ports
    assert "--kv-events-config" not in plan.by_name["decode-0"].command


def test_a_pinned_endpoint_of_events_is_the_workers_port(desk):
    pinned = {"endpoint": "tcp://*:5557"}
    plan = desk.plan(recipe(ONE_EACH, backend={"kv_events_config": pinned}))
    assert plan.by_name["prefill-0"].ports["kv-events"] == 5557
    assert events(plan.by_name["prefill-0"])["endpoint"] == "tcp://*:5557"
    problem = desk.problems(recipe(SHARED, backend={"kv_events_config": pinned}))[0]
    assert problem.path == "backend.kv_events_config"
    assert "port 5557 on node0 is already used by prefill-0 (kv-events)" in problem.message


def test_nodes_of_one_machine_publish_on_their_own_addresses(desk):
    nodes = (Node(name="a", address="127.0.0.2"), Node(name="b", address="::2"))
    text = recipe(ONE_EACH, backend={"kv_events_config": True})
    plan = desk.plan(text, nodes=nodes, bind="address")
    assert events(plan.units[0])["endpoint"] == "tcp://127.0.0.2:5200"
    assert events(plan.units[1])["endpoint"] == "tcp://[::2]:5200"


def test_data_parallel_ranks_publish_on_ports_that_follow(desk):
    attention = {"enable-dp-attention": True, "data-parallel-size": 16}
    text = recipe(
        ONE_EACH | {"prefill_nodes": 2},
        backend={"kv_events_config": True} | config(prefill=attention),
    )
    first, second = desk.plan(text).units[:2]
    assert set(range(5201, 5208)) <= {port for _, port in derived_ports(first.command)}
    assert [port for _, port in derived_ports(second.command)] == list(range(5208, 5216))


@pytest.mark.parametrize("given", [3, "yes", [1]])
def test_events_are_true_false_or_a_table(desk, given):
    problem = desk.problem(recipe(ONE_EACH, backend={"kv_events_config": given}))
    assert problem.path == "backend.kv_events_config"


def test_events_are_not_configured_twice(desk):
    flag = config(prefill={"kv-events-config": "{}"})
    problem = desk.problem(recipe(ONE_EACH, backend={"kv_events_config": True} | flag))
    assert "keep one" in problem.message


NOISE = re.compile("|".join(WORKER_NOISE))


@pytest.mark.parametrize(
    "line",
    [
        '[2026-11-27 20:54:48] INFO:     127.0.0.1:41872 - "GET /health HTTP/1.1" 200 OK',
        '[2026-11-27 20:54:48] INFO:     127.0.0.1:41872 - "GET /model_info HTTP/1.1" 200 OK',
        '[2026-11-27 20:54:48] INFO:     127.0.0.1:41872 - "GET /get_model_info HTTP/1.1" 200 OK',
        '[2026-11-27 20:54:48] INFO:     127.0.0.1:41872 - "GET /server_info HTTP/1.1" 200 OK',
        '127.0.0.1 [27/Nov/2026:20:54:48 +0000] "GET /route?prefill_dp_rank=-1&prefill_cp_rank=-1'
        '&target_tp_rank=-1&target_pp_rank=-1 HTTP/1.1" 503 183 "-" "-"',
        "[2026-11-27 20:54:48] WARNING:  Invalid HTTP request received.",
        "[2026-11-27 20:54:48] Health check failed. Server couldn't get a response",
    ],
)
def test_a_line_about_a_probe_is_noise(line):
    assert NOISE.search(line)


@pytest.mark.parametrize(
    "line",
    [
        '[2026-11-27 20:54:48] INFO:     127.0.0.1:41872 - "POST /generate HTTP/1.1" 200 OK',
        '[2026-11-27 20:54:48] INFO:     127.0.0.1:41872 - "GET /v1/models HTTP/1.1" 200 OK',
        '127.0.0.1 "GET /route?prefill_dp_rank=3&prefill_cp_rank=0 HTTP/1.1" 200 183 "-" "-"',
        "[2026-11-27 20:54:48] Decode batch. #running-req: 5",
        "[2026-11-27 20:54:48] The server is fired up and ready to roll!",
        "torch.OutOfMemoryError: CUDA out of memory.",
    ],
)
def test_a_line_about_work_or_an_error_is_not_noise(line):
    assert not NOISE.search(line)
