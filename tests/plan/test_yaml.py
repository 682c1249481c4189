"""Plans as bytes: the same for the same plan, and the same plan again when read."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pdsup.plan import yaml as yaml_module
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import invented_nodes
from pdsup.plan.document.syntax import parse
from pdsup.plan.document.tree import plain
from pdsup.plan.model import Node, Plan, PlanUnit, Probe, Restart
from pdsup.plan.yaml import WIDTH, write
from tests.plan.recipes import GOOD, recipe

CONFIGS = sorted(Path(__file__).parents[2].joinpath("configs").rglob("*.yaml"))
SHARED = {"gpus_per_node": 8, "prefill_nodes": 2, "prefill_workers": 6, "decode_nodes": 0}


def plan_with(**fields):
    unit = PlanUnit(**{"name": "u", "kind": "service", "node": "n", "command": ("x",), **fields})
    return Plan(plan=1, name="p", nodes=(Node(name="n", address="n"),), units=(unit,))


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_a_written_plan_reads_as_the_same_plan(tmp_path, file):
    loaded = load.load(file, nodes=invented_nodes(load.node_count(file)))
    path = tmp_path / "plan.yaml"
    path.write_bytes(loaded.text)
    assert load.load(path, nodes=None) == loaded


def test_ranks_and_shared_nodes_read_back_too(desk, tmp_path):
    for resources in (SHARED | {"decode_workers": 2}, {"agg_nodes": 4, "agg_workers": 2}):
        loaded = desk.load(recipe(resources))
        assert desk.load(loaded.text) == loaded


def test_the_digest_is_that_of_the_bytes(desk):
    loaded = desk.load(GOOD)
    assert loaded.digest == hashlib.sha256(loaded.text).hexdigest()


def test_the_same_recipe_and_nodes_give_the_same_bytes(desk):
    assert desk.load(GOOD).text == desk.load(GOOD + "\n# said differently\n").text


def test_another_yaml_library_reads_the_same_values(desk):
    loaded = desk.load(recipe(SHARED | {"decode_workers": 2}))
    assert yaml.safe_load(loaded.text) == yaml_module.values(loaded.plan)


def test_json_holds_the_same_as_the_file(desk):
    loaded = desk.load(GOOD)
    assert json.loads(json.dumps(yaml_module.values(loaded.plan))) == yaml.safe_load(loaded.text)


def test_what_does_not_apply_is_left_out_and_what_applies_is_written_though_it_is_the_default(desk):
    router, nginx = desk.plan(GOOD).units[-2:]
    values = yaml_module.values(desk.plan(GOOD))["units"]
    assert values[-1].keys() == {
        *("name", "kind", "node", "ports", "command", "probes", "restart", "stop", "log", "nginx")
    }
    restart, stop = values[-2]["restart"], values[-1]["stop"]
    for found, written in ((router.restart, restart), (nginx.stop, stop)):
        given = dataclasses.asdict(found)
        assert written == {key: value for key, value in given.items() if value != ()}


def test_what_a_plan_must_say_is_written_even_when_it_is_empty():
    values = yaml_module.values(dataclasses.replace(plan_with(), units=()))
    assert values["units"] == []


def test_no_line_of_a_plan_is_long(desk):
    text = desk.load(recipe({"agg_nodes": 60, "agg_workers": 60})).text.decode()
    assert max(map(len, text.splitlines())) <= WIDTH


def test_a_flag_and_its_value_stand_on_one_line(desk):
    lines = desk.load(GOOD).text.decode().splitlines()
    assert any("--model-path, /models/small," in line for line in lines)


@given(
    command=st.lists(st.text(st.characters(codec="utf-8")), max_size=30).map(tuple),
    env=st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=200),
        st.text(st.characters(codec="utf-8")),
        max_size=3,
    ),
    seconds=st.floats(allow_nan=False, allow_infinity=False),
    number=st.integers(),
)
def test_any_text_and_number_reads_back_as_it_was(command, env, seconds, number):
    plan = plan_with(
        command=command,
        env=env,
        gpus=(number,),
        restart=Restart(delay_s=seconds, max_failures=number),
    )
    document = parse(write(plan).decode())
    assert document.problems == ()
    assert json.loads(json.dumps(plain(document.root))) == yaml_module.values(plan)


@pytest.mark.parametrize(
    "word",
    ["yes", "No", "null", "~", "1", "1e3", "0x1", "1:30", "2025-01-01", "<<", "=", "- a", "a: b",
     "#", "&a", "*a", "!a", "%a", "@a", "`a", "a #b", " a", "a ", "", "'", '"', "\\", "[", "{a}",
     "-", "--", "---", "...", "a,b", "http://n:1", "\u2028", "\x85", "\ufeff", "\U0001f600", "?"],
)  # fmt: skip
def test_text_that_looks_like_something_else_stays_text(word):
    written = write(plan_with(command=(word,), env={"A": word}))
    unit = plain(parse(written.decode()).root)["units"][0]
    assert unit["command"] == (word,)
    assert unit["env"] == {"A": word}


def test_a_small_number_stays_a_number():
    probe = Probe(checks=(), period_s=1e-05, timeout_s=1e300)
    written = write(plan_with(probes=dataclasses.replace(PlanUnit.probes, startup=probe)))
    startup = yaml.safe_load(written)["units"][0]["probes"]["startup"]
    assert (startup["period_s"], startup["timeout_s"]) == (1e-05, 1e300)
