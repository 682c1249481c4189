"""Workers on nodes and GPUs, and routers on nodes."""

import re
from pathlib import Path

import pytest

from pdsup.errors import InvalidDocument
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import parse_nodes, slurm_nodes
from pdsup.plan.compile.placement import router_nodes
from tests.plan.recipes import recipe

TABLE = Path(__file__).with_name("router_table.txt").read_text().splitlines()[1:]


def where(plan):
    """Node and GPUs of every worker, as short text."""
    return {
        unit.name: f"{unit.node}:{unit.gpus[0]}-{unit.gpus[-1]}"
        for unit in plan.units
        if unit.kind == "worker"
    }


def test_routers_stand_where_srtctl_put_them():
    assert len(TABLE) > 200
    for row in TABLE:
        nodes, additional, count, *indices = map(int, row.split())
        assert router_nodes(nodes, additional) == tuple(indices), row
        assert len(indices) == count


def test_ten_nodes_and_four_additional_routers_make_four_not_five():
    assert router_nodes(10, 4) == (0, 1, 4, 7)


def test_workers_of_one_node_take_a_node_each(desk):
    plan = desk.plan(
        recipe({"prefill_nodes": 2, "prefill_workers": 2, "decode_nodes": 1, "decode_workers": 1})
    )
    assert where(plan) == {"prefill-0": "n0:0-3", "prefill-1": "n1:0-3", "decode-0": "n2:0-3"}


def test_a_worker_of_several_nodes_has_a_rank_on_each(desk):
    plan = desk.plan(
        recipe({"prefill_nodes": 2, "prefill_workers": 1, "decode_nodes": 1, "decode_workers": 1})
    )
    assert where(plan) == {"prefill-0.0": "n0:0-3", "prefill-0.1": "n1:0-3", "decode-0": "n2:0-3"}
    assert [unit.gang for unit in plan.units[:3]] == ["prefill-0", "prefill-0", None]


def test_small_workers_share_a_node(desk):
    plan = desk.plan(
        recipe({"gpus_per_node": 8, "prefill_nodes": 1, "prefill_workers": 4, "decode_nodes": 1,
                "decode_workers": 1})
    )  # fmt: skip
    assert where(plan) == {
        "prefill-0": "n0:0-1",
        "prefill-1": "n0:2-3",
        "prefill-2": "n0:4-5",
        "prefill-3": "n0:6-7",
        "decode-0": "n1:0-7",
    }


def test_decode_begins_on_a_fresh_node_when_there_is_one(desk):
    plan = desk.plan(
        recipe({"gpus_per_node": 8, "prefill_nodes": 1, "prefill_workers": 1, "gpus_per_prefill": 4,
                "decode_nodes": 1, "decode_workers": 2, "gpus_per_decode": 4})
    )  # fmt: skip
    assert where(plan) == {"prefill-0": "n0:0-3", "decode-0": "n1:0-3", "decode-1": "n1:4-7"}


def test_without_decode_nodes_decode_shares_the_prefill_nodes_with_workers_of_the_same_size(desk):
    plan = desk.plan(
        recipe({"gpus_per_node": 8, "prefill_nodes": 2, "prefill_workers": 6, "decode_nodes": 0,
                "decode_workers": 2})
    )  # fmt: skip
    assert where(plan)["prefill-5"] == "n1:2-3"
    assert where(plan)["decode-0"] == "n1:4-5"
    assert where(plan)["decode-1"] == "n1:6-7"


def test_spread_workers_go_to_a_node_each(desk):
    plan = desk.plan(
        recipe({"gpus_per_node": 8, "prefill_nodes": 2, "prefill_workers": 2, "gpus_per_prefill": 2,
                "decode_nodes": 1, "decode_workers": 1, "spread_workers": True})
    )  # fmt: skip
    assert where(plan) == {"prefill-0": "n0:0-1", "prefill-1": "n1:0-1", "decode-0": "n2:0-7"}


def test_aggregated_workers_are_placed_the_same_way(desk):
    plan = desk.plan(recipe({"gpus_per_node": 8, "agg_nodes": 2, "agg_workers": 8}))
    assert where(plan)["agg-3"] == "n0:6-7"
    assert where(plan)["agg-4"] == "n1:0-1"


@pytest.mark.parametrize(
    ("resources", "path", "words"),
    [
        ({"prefill_nodes": 3, "prefill_workers": 2}, "prefill_nodes", "use 2 or 4 nodes"),
        ({"prefill_nodes": 1, "prefill_workers": 9}, "prefill_workers", "at most 8 fit"),
        ({"prefill_nodes": 2, "prefill_workers": 3}, "prefill_nodes", "take 3 nodes, not 2"),
        ({"decode_nodes": 2, "decode_workers": 3}, "decode_workers", "only 2 of 3 decode workers"),
        ({"gpus_per_prefill": 12}, "gpus_per_prefill", "use 8 or 16"),
        ({"gpus_per_prefill": 0}, "gpus_per_prefill", "at least 1 GPU"),
        (
            {"decode_nodes": 0, "gpus_per_prefill": 4, "gpus_per_decode": 8},
            "decode_workers",
            "only 0 of 1 decode workers of 8 GPUs",
        ),
        ({"decode_nodes": 0}, "decode_workers", "only 0 of 1"),
        ({"gpus_per_node": 0}, "gpus_per_node", "must be 1 to"),
        ({"prefill_workers": 0}, "prefill_workers", "must be at least 1: prefill_nodes is 1"),
        ({"prefill_nodes": -1}, "prefill_nodes", "must be 0 to"),
        ({"prefill_nodes": 10**12}, "prefill_nodes", "must be 0 to"),
        ({"agg_nodes": 1, "agg_workers": 1}, "agg_workers", "can't be combined with prefill"),
        ({"het_jobs": True, "decode_nodes": 0}, "decode_nodes", "nodes of its own"),
    ],
)
def test_what_srtctl_would_start_wrongly_is_refused_with_the_reason(desk, resources, path, words):
    good = {"gpus_per_node": 8, "prefill_nodes": 1, "prefill_workers": 1}
    good |= {"decode_nodes": 1, "decode_workers": 1}
    problem = desk.problems(recipe(good | resources))[0]
    assert problem.path == f"resources.{path}"
    assert words in problem.message


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({}, "names no workers"),
        ({"prefill_nodes": 1, "prefill_workers": 1}, "no decode workers"),
        ({"decode_nodes": 1, "decode_workers": 1}, "no prefill workers"),
    ],
)
def test_a_cluster_needs_prefill_and_decode_or_aggregated_workers(desk, resources, words):
    assert words in desk.problem(recipe(resources)).message


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        (
            {"prefill_nodes": 3, "prefill_workers": 2},
            "3 nodes do not divide evenly among 2 workers; use 2 or 4 nodes, or 1 or 3 workers",
        ),
        ({"prefill_workers": 9}, "at most 8 fit; use 2 nodes, or 8 workers"),
        ({"prefill_nodes": 2, "prefill_workers": 3}, "use 1 or 3 nodes, or 2 or 4 workers"),
        ({"decode_workers": 5, "decode_nodes": 2, "gpus_per_decode": 8}, "use 5 nodes, or 2 work"),
        ({"decode_nodes": 0}, "use 1 node"),
        (
            {"prefill_nodes": 900, "prefill_workers": 700},
            "900 nodes do not divide evenly among 700 work",
        ),
    ],
)
def test_a_refusal_offers_the_nearest_numbers_and_these_work(desk, resources, words):
    good = {"gpus_per_node": 8, "prefill_nodes": 1, "prefill_workers": 1}
    given = good | {"decode_nodes": 1, "decode_workers": 1} | resources
    problem = desk.problem(recipe(given))
    assert words in problem.message
    role = "decode" if "decode_nodes" in resources else "prefill"
    for numbers, what in re.findall(
        r"([0-9 or]+) (node|worker)s?", problem.message.split("use")[-1]
    ):
        for number in re.findall("[0-9]+", numbers) if "; use" in problem.message else ():
            desk.plan(recipe(given | {f"{role}_{what}s": int(number)}))


def test_in_a_heterogeneous_job_each_role_has_the_nodes_of_its_component(desk):
    nodes = slurm_nodes(
        {
            "SLURM_JOB_NODELIST": "p[0-2]",
            "SLURM_JOB_NODELIST_HET_GROUP_0": "p[0-2]",
            "SLURM_JOB_NODELIST_HET_GROUP_1": "d[0-1]",
        }
    )
    resources = {"gpus_per_node": 8, "prefill_nodes": 2, "prefill_workers": 2, "decode_nodes": 1,
                 "decode_workers": 2, "het_jobs": True}  # fmt: skip
    plan = desk.plan(recipe(resources), nodes=nodes)
    assert where(plan) == {
        "prefill-0": "p0:0-7",
        "prefill-1": "p1:0-7",
        "decode-0": "d0:0-3",
        "decode-1": "d0:4-7",
    }
    assert [(node.name, node.group) for node in plan.nodes] == [("p0", 0), ("p1", 0), ("d0", 1)]


def test_in_a_heterogeneous_job_no_role_takes_the_nodes_of_the_other(desk):
    resources = {"gpus_per_node": 8, "prefill_nodes": 1, "prefill_workers": 1, "decode_nodes": 2,
                 "decode_workers": 1, "gpus_per_prefill": 16, "het_jobs": True}  # fmt: skip
    problem = desk.problem(recipe(resources))
    assert problem.path == "resources.prefill_workers"
    assert "only 0 of 1 prefill workers of 16 GPUs each fit on 1 node" in problem.message


def test_a_component_with_too_few_nodes_is_refused(desk):
    environ = {"SLURM_JOB_NODELIST_HET_GROUP_0": "p", "SLURM_JOB_NODELIST_HET_GROUP_1": "d[0-4]"}
    resources = {"prefill_nodes": 2, "prefill_workers": 2, "decode_nodes": 1, "decode_workers": 1}
    path = desk.write(recipe(resources | {"het_jobs": True}))
    with pytest.raises(InvalidDocument) as caught:
        load.load(path, nodes=slurm_nodes(environ))
    (problem,) = caught.value.problems
    assert problem.path == "resources.prefill_nodes"
    assert "component 0 of the job has only 1" in problem.message


def test_without_a_heterogeneous_job_prefill_has_the_first_nodes(desk):
    resources = {"prefill_nodes": 1, "prefill_workers": 1, "decode_nodes": 1, "decode_workers": 1}
    assert desk.plan(recipe(resources | {"het_jobs": True})) == desk.plan(recipe(resources))


def test_fewer_nodes_than_the_recipe_takes_are_refused(desk):
    path = desk.write(recipe({"agg_nodes": 3, "agg_workers": 3}))
    with pytest.raises(InvalidDocument) as caught:
        load.load(path, nodes=parse_nodes("a,b"))
    assert "takes 3 nodes, but only 2 are given" in caught.value.problems[0].message


def test_of_more_nodes_than_the_recipe_takes_the_first_are_used(desk):
    nodes = parse_nodes("a,b,c")
    plan = desk.plan(recipe({"agg_nodes": 2, "agg_workers": 2}), nodes=nodes)
    assert [node.name for node in plan.nodes] == ["a", "b"]
