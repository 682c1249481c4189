"""What is told about a plan: everything once, alike nodes together, and never more than is so."""

import json
from dataclasses import replace

import hostlist
import pytest

from pdsup.cli.screens import plan as plan_module
from pdsup.plan.compile import explanation
from pdsup.plan.front import front_of
from pdsup.plan.model import Check, Node, Probe
from pdsup.plan.recipe import schema1 as layout1
from pdsup.plan.recipe import schema2 as layout2
from pdsup.plan.recipe.unused import REASONS, Notes, notes
from tests.plan.recipes import GOOD, Desk, recipe


@pytest.fixture
def desk(tmp_path):
    """Where recipes lie."""
    return Desk(tmp_path)


@pytest.fixture
def told(desk):
    """The values that explain a recipe."""

    def tell(text, *overrides, **options):
        loaded = desk.load(text, *overrides, **options)
        return explanation.explanation(loaded.plan, notes(loaded.recipe))

    return tell


def lines(told):
    return list(plan_module.lines(told))


def section(told, head):
    """The lines of one node or unit, without those of the next."""
    found = lines(told)
    start = next(i for i, line in enumerate(found) if line.startswith(head))
    indent = len(head) - len(head.lstrip())
    rest = found[start + 1 :]
    ends = (i for i, line in enumerate(rest) if len(line) - len(line.lstrip()) <= indent)
    return [line.strip() for line in rest[: next(ends, None)]]


def big(prefill, decode, decode_workers):
    return recipe(
        {
            "gpus_per_node": 8, "prefill_nodes": prefill, "prefill_workers": prefill,
            "decode_nodes": decode, "decode_workers": decode_workers,
        },
        frontend={"type": "sglang", "num_additional_frontends": 4},
    )  # fmt: skip


def test_each_node_has_its_units_with_gpus_ports_command_and_what_they_wait_for(told):
    found = told(GOOD)
    assert section(found, "  prefill-0: prefill worker, GPUs 0-7")[:2] == [
        "ports       http 30000, nccl 30002, bootstrap 30001",
        "waits for   nothing",
    ]
    assert section(found, "  prefill-0:")[2].startswith("command     python3 -m sglang.launch_serv")
    waits = " ".join(section(found, "  router-0: router")[1:4])
    assert waits.startswith(
        "waits for   decode-0 to accept connections on http; prefill-0 to accept connections on"
        " http, bootstrap; after a failure one of each role is enough"
    )


def test_the_front_is_where_clients_are_told_to_go(told):
    assert "Clients talk to http://n0:8000." in lines(told(GOOD))


def test_an_address_is_told_where_it_is_not_the_name(told):
    nodes = (("n0", "10.0.0.1"), ("n1", "10.0.0.2"))
    made = tuple(Node(name=name, address=address) for name, address in nodes)
    found = told(GOOD, nodes=made)
    assert [line for line in lines(found) if line.startswith("n")] == [
        "n0, address 10.0.0.1",
        "n1, address 10.0.0.2",
    ]


def test_nodes_on_which_the_same_runs_are_told_once(told):
    found = told(big(35, 35, 35))
    assert [(group.nodes, group.count) for group in found.groups] == [
        ("n0", 1),
        ("n[1,19]", 2),
        ("n[2-18,20-34]", 32),
        ("n[35-36,38-54,56-69]", 33),
        ("n[37,55]", 2),
    ]
    assert sum(group.count for group in found.groups) == 70
    assert len(lines(found)) < 150


def test_all_ranks_of_all_gangs_but_the_first_are_alike(told):
    found = told(big(1, 6, 2), "frontend.enable_multiple_frontends=false")
    units = [unit.units for group in found.groups for unit in group.units]
    assert units == ["prefill-0", "router-0", "decode-[0-1].0", "decode-[0-1].[1-2]"]


def test_every_unit_is_told_exactly_once(told, desk):
    text = big(9, 12, 4)
    names = [unit.name for unit in desk.plan(text).units]
    groups = [unit.units for group in told(text).groups for unit in group.units]
    assert sorted(hostlist.expand_hostlist(",".join(groups))) == sorted(names)


def test_units_that_differ_in_a_flag_are_told_apart(desk):
    plan = desk.plan(GOOD, "resources.decode_nodes=2", "resources.decode_workers=2")
    last = plan.units[2]
    assert last.name == "decode-1"
    odd = replace(last, command=(*last.command, "--odd"))
    other = replace(plan, units=(*plan.units[:2], odd, *plan.units[3:]))
    assert len(explanation.explanation(other, Notes()).groups) == 1 + len(
        explanation.explanation(plan, Notes()).groups
    )


def test_a_variable_with_another_value_on_each_node_is_named(told):
    found = told(
        big(3, 1, 1), "frontend.enable_multiple_frontends=false",
        'backend.prefill_environment={HOST: "{node}", SAME: x}',
    )  # fmt: skip
    prefills = next(u for group in found.groups for u in group.units if u.units == "prefill-[1-2]")
    assert prefills.env_varies == ("HOST",)
    assert "HOST differs from node to node" in section(found, "  prefill-[1-2]:")


def test_a_long_command_shows_of_each_repeated_flag_the_first(told):
    told_lines = " ".join(section(told(big(30, 30, 30)), "  router-0:"))
    assert "--prefill http://n0:30000 30001 ... 29 more --prefill --decode" in told_lines
    assert "http://n1:" not in told_lines


@pytest.mark.parametrize(
    ("nodes", "additional", "sentence"),
    [
        (10, 4, "Routers: 4 on n[0-1,4,7]. One plus up to 4 additional (set in the recipe), one"),
        (5, 4, "Routers: 5 on n[0-4]. One plus up to 4 additional (set in the recipe), one on"),
    ],
)
def test_the_routers_are_those_there_really_are(told, nodes, additional, sentence):
    found = told(big(nodes - 1, 1, 1), f"frontend.num_additional_frontends={additional}")
    text = " ".join(line.strip() for line in lines(found))
    assert sentence in text
    assert ("This makes 4, not 5." in text) == (nodes == 10)


def test_a_number_of_routers_nobody_asked_for_is_called_the_default(told):
    assert (told(GOOD).routers.additional, told(GOOD).routers.stated) == (9, False)


def test_one_router_alone_was_no_choice_of_a_number(told):
    assert told(GOOD, "frontend.enable_multiple_frontends=false").routers.additional is None


def test_a_line_that_is_not_used_is_told_with_its_number_and_the_reason(told):
    text = f"{GOOD}benchmark: {{type: sa-bench}}\nbackend:\n  gpu_type: h100\n"
    assert lines(told(text))[-2:] == [
        f"  line 12, benchmark: {REASONS['benchmark']}",
        f"  line 14, backend.gpu_type: {REASONS['backend.gpu_type']}",
    ]


def test_schema_2_has_lines_of_its_own_that_are_not_used(told):
    text = """\
schema: 2
name: second
model: {path: /m}
engine: mock
roles:
  prefill: {nodes: 1, workers: 1, critical: true, args: {nccl-port: 5}}
  decode: {nodes: 1, workers: 1}
frontend: {type: sglang-router, num_additional_frontends: 1}
"""
    found = told(text)
    assert [line.path for line in found.unused] == [
        "roles.prefill.critical",
        "roles.prefill.args.nccl-port",
    ]
    assert (found.routers.additional, found.routers.stated) == (1, True)


def test_a_dropped_flag_of_the_engine_is_told_too(told):
    found = told(GOOD, "backend.sglang_config.prefill.nccl_port=5")
    assert [line.path for line in found.unused] == ["backend.sglang_config.prefill.nccl_port"]


def test_every_reason_is_for_a_setting_that_is_not_used():
    tables = (*layout1.IGNORED.items(), *layout2.IGNORED.items())
    ignored = {f"{table}.{key}".lstrip(".") for table, keys in tables for key in keys}
    assert REASONS.keys() - {"benchmark"} <= ignored  # that one is used when it has a command


def test_a_port_that_the_kernel_may_give_away_is_a_warning(told):
    found = told(GOOD, "backend.sglang_config.decode={port: 40000, enable-dp-attention: true}")
    (warning,) = found.warnings
    assert warning == (
        "decode-0: the kernel gives outgoing connections ports from 32768 to 60999, so 40000,"
        " 40233, 40234, 40235, 40236, 40237, 40238 may be taken when it starts"
    )


@pytest.mark.parametrize(("port", "warned"), [(32767, 0), (32768, 1), (60999, 1), (61000, 0)])
def test_the_kernels_range_has_the_kernels_bounds(told, port, warned):
    assert len(told(GOOD, f"backend.sglang_config.decode.port={port}").warnings) == warned


def test_units_with_the_same_care_are_told_together(told):
    cares = [care.units for care in told(big(2, 6, 2)).care]
    assert cares == [
        "prefill-[0-1]",
        "decode-[0-1].0",
        "decode-[0-1].[1-2]",
        "router-[0-4]",
        "nginx",
    ]


def test_what_makes_a_unit_unhealthy_and_what_dead_is_told(told):
    found = told(GOOD, "backend.sglang_config.decode.enable-metrics=true")
    care = [line.strip() for line in lines(found)]
    text = " ".join(care[care.index("decode-0") :])
    assert (
        "killed after 3 failures in a row and 5 min without progress: no process is stopped and no"
        " sglang::* process is gone and GET /health on http, every 10 s, timeout 25 s; progress:"
        " change of sglang:realtime_tokens_total, sglang:prompt_tokens_total,"
        " sglang:generation_tokens_total in GET /metrics on http"
    ) in " ".join(text.split())


def test_every_way_to_ask_has_its_words():
    questions = {
        "connect to http": Check(port="http"),
        "GET /x on http (unless 404)": Check(port="http", path="/x", skip=(404,)),
        "GET /x on http with a body matching ok and a.b = 1": Check(
            port="http", path="/x", body="ok", field="a.b", equals="1"
        ),
        "run true 'a b'": Check(command=("true", "a b")),
        "a line matching ready in its output": Check(log="ready"),
        "no process is stopped": Check(tree=""),
    }
    for words, check in questions.items():
        startup = Probe(
            checks=(check,), period_s=1.0, timeout_s=2.0, successes=2, stable_s=3.0,
            deadline_s=4.0, limit_s=5.0, quiet_s=6.0,
        )  # fmt: skip
        assert plan_module.describe_probe(startup) == (
            f"{words}, every 1 s, timeout 2 s, 2 in a row, for 3 s, within 4 s,"
            " or 5 s while it shows progress every 6 s"
        )


@pytest.mark.parametrize("text", [GOOD, big(35, 35, 7), big(4, 12, 3)])
def test_no_line_is_longer_than_a_terminal(told, text):
    assert [line for line in lines(told(text)) if len(line) > 100] == []


def test_a_thousand_nodes_are_told_in_a_screenful_or_two(told):
    assert len(lines(told(big(500, 500, 125)))) < 170


def test_the_json_holds_what_the_text_is_made_of(told):
    found = told(big(4, 12, 3))
    as_json = json.loads(json.dumps(explanation.as_json(found)))
    assert as_json["front"] == "http://n0:8000"
    assert [group["count"] for group in as_json["groups"]] == [g.count for g in found.groups]


def test_the_same_plan_is_told_in_the_same_words(desk):
    plan = desk.plan(GOOD)
    assert plan_module.explain(plan, Notes()) == plan_module.explain(plan, Notes())


def test_what_is_enough_for_routers_is_told_and_that_ranks_start_together(told):
    text = recipe(
        {"prefill_nodes": 2, "prefill_workers": 1, "decode_nodes": 3, "decode_workers": 3},
        frontend={"type": "sglang", "start_with": {"decode": 2}, "restart_with": {"prefill": 1}},
    )
    shown = " ".join(" ".join(lines(told(text))).split())
    assert "; one of each role, 2 of decode is enough; after a failure one of each role" in shown
    assert "waits for the other ranks (they start together)" in shown


def test_a_router_without_a_port_for_clients_is_nobodys_front(desk):
    text = """
plan: 1
name: p
nodes: [{name: n, address: 10.0.0.7}]
units:
- {name: mute, kind: router, node: n, command: [route]}
- {name: other, kind: router, node: n, command: [route], ports: {http: 8001}}
"""
    assert front_of(desk.plan(text)) == "http://10.0.0.7:8001"
    alone = "\n".join(text.splitlines()[:-1])
    assert "No unit serves clients." in plan_module.explain(desk.plan(alone), Notes())
