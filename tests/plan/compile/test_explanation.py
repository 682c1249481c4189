"""What a plan means, as values."""

from itertools import pairwise

import pytest

from pdsup.plan.compile.explanation import explanation
from pdsup.plan.compile.nodes import invented_nodes
from pdsup.plan.recipe.unused import notes
from tests.plan.recipes import recipe


@pytest.mark.parametrize("nodes", [2, 3, 5, 9, 10])
@pytest.mark.parametrize("additional", [1, 2, 4, 9])
def test_the_step_that_is_explained_is_the_one_between_additional_routers(desk, nodes, additional):
    counts = {"prefill_nodes": 1, "prefill_workers": 1}
    counts |= {"decode_nodes": nodes - 1, "decode_workers": nodes - 1}
    frontend = {"type": "sglang", "num_additional_frontends": additional}
    loaded = desk.load(recipe(counts, frontend=frontend), nodes=invented_nodes(nodes))
    routers = explanation(loaded.plan, notes(loaded.recipe)).routers
    places = [node.name for node in loaded.plan.nodes]
    first, *others = (places.index(u.node) for u in loaded.plan.units if u.kind == "router")
    assert first == 0
    assert others[0] == 1
    assert {after - before for before, after in pairwise(others)} <= {routers.step}


def test_without_additional_routers_there_is_no_step_to_explain(desk):
    counts = {"prefill_nodes": 1, "prefill_workers": 1, "decode_nodes": 1, "decode_workers": 1}
    frontend = {"type": "sglang", "enable_multiple_frontends": False}
    loaded = desk.load(recipe(counts, frontend=frontend))
    assert explanation(loaded.plan, notes(loaded.recipe)).routers.step is None
