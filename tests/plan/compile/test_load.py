"""Files to plans: what is read, what is refused, and how."""

import json
import sys
from pathlib import Path

import pytest

from pdsup.errors import InvalidDocument, SupervisorError, UnreadableDocument, WrongUsage
from pdsup.mock import knobs, options
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import invented_nodes, parse_nodes, slurm_nodes
from pdsup.plan.document import source
from pdsup.plan.model import Node
from tests.plan.recipes import GOOD, recipe

CONFIGS = Path(__file__).parents[3] / "configs"
DEEPSEEK = CONFIGS / "deepseek-r1-sglang-router.yaml"


def listening(plan, *kinds):
    """Unit names with their node and ports, of some kinds."""
    return {
        unit.name: (unit.node, unit.ports["http"], unit.ports.get("bootstrap"))
        for unit in plan.units
        if unit.kind in kinds
    }


def test_the_complete_example_runs_on_four_nodes_as_its_page_says():
    plan = load.load(DEEPSEEK, nodes=parse_nodes("node[0-3]")).plan
    assert listening(plan, "worker") == {
        "prefill-0": ("node0", 30000, 30001),
        "prefill-1": ("node1", 30000, 30001),
        "decode-0": ("node2", 30000, None),
        "decode-1": ("node3", 30000, None),
    }
    assert listening(plan, "router") == {f"router-{i}": (f"node{i}", 30080, None) for i in range(4)}
    assert listening(plan, "nginx") == {"nginx": ("node0", 8000, None)}


def test_the_complete_example_runs_with_one_router_and_no_nginx():
    one = ("backend.enable_multiple_frontends=false",)
    plan = load.load(DEEPSEEK, nodes=parse_nodes("node[0-3]"), overrides=one).plan
    assert listening(plan, "router", "nginx") == {"router-0": ("node0", 8000, None)}


def test_the_demo_has_four_workers_four_routers_and_nginx_on_four_nodes():
    plan = load.check(CONFIGS / "demo.yaml", nodes=None)
    assert [unit.name for unit in plan.units] == [
        *("prefill-0", "prefill-1", "decode-0", "decode-1"),
        *("router-0", "router-1", "router-2", "router-3", "nginx"),
    ]
    assert [unit.node for unit in plan.units] == [*[f"node{i}" for i in range(4)] * 2, "node0"]
    assert plan.units[0].command[2] == "pdsup.mock.worker"


def test_the_stand_in_understands_what_the_demo_tells_it():
    for unit in load.check(CONFIGS / "demo.yaml", nodes=None).units[:4]:
        assert options.parse(unit.command[3:]).port == 30000
        assert knobs.from_environment(unit.env).load_seconds > 0


def test_a_plan_file_keeps_its_own_bytes(desk):
    text = desk.load(GOOD).text + b"# a comment\n"
    assert desk.load(text).text == text


def test_a_file_with_a_byte_order_mark_is_read(desk):
    assert desk.plan(b"\xef\xbb\xbf" + GOOD.encode()) == desk.plan(GOOD)


def test_a_recipe_needs_nodes(desk):
    with pytest.raises(SupervisorError, match="give --nodes"):
        load.load(desk.write(GOOD), nodes=None)


def test_a_broken_recipe_is_told_so_even_without_nodes(desk):
    with pytest.raises(InvalidDocument):
        load.load(desk.write(GOOD + "x: 1"), nodes=None)


def test_a_plan_takes_no_overrides(desk):
    path = desk.write(desk.load(GOOD).text)
    with pytest.raises(SupervisorError, match="--set works on recipes"):
        load.load(path, nodes=None, overrides=("name=x",))


def test_the_node_count_of_a_recipe_and_of_its_plan_are_the_same(desk):
    path = desk.write(recipe({"agg_nodes": 6, "agg_workers": 3}))
    assert load.node_count(path) == 6
    assert load.node_count(path, ("resources.agg_workers=6",)) == 6
    assert load.node_count(path, ("resources.agg_nodes=9",)) == 9
    assert load.node_count(desk.write(desk.load(GOOD).text)) == 2


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name: \xe9", bytes(range(1, 65)) + b"\xff"])
def test_what_is_not_text_is_unreadable(desk, content):
    with pytest.raises(UnreadableDocument, match="it is not text"):
        load.load(desk.write(content), nodes=None)


def test_a_missing_file_and_a_directory_are_unreadable(tmp_path):
    for path in (tmp_path / "none", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(UnreadableDocument, match="cannot read"):
            load.load(path, nodes=None)


def test_an_endless_file_is_unreadable(monkeypatch):
    monkeypatch.setattr(source, "MOST_BYTES", 1 << 16)
    with pytest.raises(UnreadableDocument, match="more than"):
        load.load(Path("/dev/zero"), nodes=None)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("node[0-3]", ["node0", "node1", "node2", "node3"]),
        ("a,b", ["a", "b"]),
        ("gpu[08-11]", ["gpu08", "gpu09", "gpu10", "gpu11"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("a,a", ["a"]),
    ],
)
def test_a_host_list_is_read_as_slurm_writes_it(text, names):
    assert parse_nodes(text) == tuple(Node(name=name, address=name) for name in names)


@pytest.mark.parametrize(
    "text",
    ["", ",", "a[", "a]", "a[3-1]", "a[x]", "a[[1]]", "a b", "a/b", "-x", "a[1-9999999]",
     "[1]" * 5000, "x[1-" + "9" * 5000 + "]", "é"],
)  # fmt: skip
def test_what_is_no_host_list_is_refused(text):
    with pytest.raises(SupervisorError, match="cannot read node list"):
        parse_nodes(text)


def test_the_nodes_of_a_slurm_job_come_from_its_environment():
    assert slurm_nodes({}) is None
    found = slurm_nodes({"SLURM_JOB_NODELIST": "n[1-2]"})
    assert found == parse_nodes("n1,n2")


def test_ten_times_the_nodes_take_ten_times_the_work_to_compile(desk):
    def calls(nodes):
        workers = {"prefill_nodes": 4, "prefill_workers": 4}
        workers |= {"decode_nodes": nodes - 4, "decode_workers": nodes - 4}
        path, found = desk.write(recipe(workers)), invented_nodes(nodes)
        counted = []
        sys.setprofile(lambda _, event, __: counted.append(event))
        try:
            load.load(path, nodes=found)
        finally:
            sys.setprofile(None)
        return counted.count("call") + counted.count("c_call")

    calls(20)  # what is read or compiled once
    assert calls(200) <= 10 * calls(20)


def test_a_thousand_nodes_are_compiled(desk):
    halves = {"prefill_nodes": 400, "prefill_workers": 400}
    path = desk.write(recipe(halves | {"decode_nodes": 600, "decode_workers": 600}))
    assert len(load.load(path, nodes=invented_nodes(1000)).plan.units) == 1011


@pytest.mark.parametrize("name", ["x" * 5000, "\u202e\x1b[2J"], ids=["long", "control characters"])
def test_a_message_is_short_and_printable_whatever_it_quotes(desk, name):
    """The values of a file come back in what is said about them, at each place of a plan."""
    plan = {
        "plan": 1, "name": "small", "nodes": [{"name": "n0", "address": name}],
        "units": [
            {"name": "a", "kind": "service", "node": "n0", "command": ["x"],
             "stop": {"signal": name}, "restart": {"fatal_signals": [name]},
             "ports": {name: 5}, "log": {"file": name}},
            {"name": name, "kind": name, "node": name, "command": [name]},
        ],
        "secrets": [name], name: name, "bind": name,
    }  # fmt: skip
    base = {"name": name, "model": {"path": "/m"}, "resources": {"prefill_nodes": name}}
    for text in (plan, {"base": base, f"override_{name}": {}, f"override_{name}2": {name: 1}}):
        with pytest.raises(InvalidDocument) as caught:
            load.check_all(desk.write(json.dumps(text)), nodes=None)
        lines = [problem.at("f") for problem in caught.value.problems]
        assert [line for line in lines if len(line) > 1500 or not line.isprintable()] == []


def test_a_host_list_of_many_large_parts_is_refused_after_a_few_of_them():
    with pytest.raises(WrongUsage, match="names more than 100,000"):
        parse_nodes(",".join(f"a{index}n[0-99998]" for index in range(5000)))
    assert [node.name for node in parse_nodes("a[1-2],b,,a[2-3],c[0-1]d[0-1],")] == [
        "a1", "a2", "b", "a3", "c0d0", "c0d1", "c1d0", "c1d1",
    ]  # fmt: skip
