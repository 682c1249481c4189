"""Files that hold several recipes: bases with overrides, and sweeps."""

import pytest

from pdsup.errors import InvalidDocument, WrongUsage
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import invented_nodes
from tests.plan.recipes import GOOD

FILE = """\
base:
  name: many
  model: {path: /models/small}
  resources:
    gpus_per_node: 8
    prefill_nodes: 1
    prefill_workers: 1
    decode_nodes: 1
    decode_workers: 1
  frontend: {type: sglang}
  backend:
    prefill_environment: {KEPT: "1", GONE: "1"}
    sglang_config:
      prefill: {tp-size: 8}

override_wide:
  resources: {decode_nodes: 2, decode_workers: 2}
  backend:
    prefill_environment: {GONE: null, NEVER_THERE: null}
    sglang_config: {prefill: {cuda-graph-bs: [1, 2]}}

override_named:
  name: special

zip_override_scale_up:
  resources:
    decode_nodes: [2, 4]
    decode_workers: [2, 4]
  backend:
    sglang_config:
      decode:
        mem-fraction-static: [0.85]
        max-running-requests: 16
        cuda-graph-bs: [[1, 2], [4, 8]]

zip_override_called:
  name: [first, second]
  health_check:
    max_attempts: [10, null]
"""
NAMES = (
    "override_wide",
    "override_named",
    "zip_override_scale_up[0]",
    "zip_override_scale_up[1]",
    "zip_override_called[0]",
    "zip_override_called[1]",
)
SWEEP = (
    GOOD
    + """\
environment: {WHERE: "{node} {tokens}"}
backend:
  sglang_config:
    prefill: {max-tokens: "{tokens}", fast: "{fast}"}
sweep:
  tokens: [4096, 8192]
  fast: [true, false]
"""
)
POINTS = (
    "good_tokens4096_fasttrue",
    "good_tokens4096_fastfalse",
    "good_tokens8192_fasttrue",
    "good_tokens8192_fastfalse",
)


def names(desk, text, choice=None):
    found = load.check_all(desk.write(text), nodes=None, variant=choice).plans
    return tuple(name for name, _ in found)


def problems(desk, text, choice=None):
    with pytest.raises(InvalidDocument) as caught:
        load.check_all(desk.write(text), nodes=None, variant=choice)
    return caught.value.problems


def value(unit, flag):
    return unit.command[unit.command.index(flag) + 1]


def test_without_a_choice_all_variants_but_the_base_are_checked(desk):
    assert names(desk, FILE) == NAMES


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ("base", ("base",)),
        ("override_wide", ("override_wide",)),
        ("special", ("override_named",)),
        ("many_wide", ("override_wide",)),
        ("zip_override_scale_up", NAMES[2:4]),
        ("zip_override_scale_up[1]", NAMES[3:4]),
        ("second", NAMES[5:6]),
        ("zip_*", NAMES[2:]),
        ("*named", ("override_named",)),
        ("many_scale_up_?", NAMES[2:4]),
    ],
)
def test_a_variant_is_chosen_by_its_table_its_name_or_a_pattern(desk, choice, found):
    assert names(desk, FILE, choice) == found


def test_an_override_merges_tables_replaces_lists_and_null_removes(desk):
    plan = desk.plan(FILE, variant="override_wide")
    prefill = plan.by_name["prefill-0"]
    assert len(plan.nodes) == 3
    assert prefill.env == {"KEPT": "1"}
    assert value(prefill, "--tp-size") == "8"
    assert prefill.command[-4:-2] == ("1", "2")


def test_lists_of_a_zip_are_taken_in_step_and_what_is_one_holds_for_all(desk):
    one, two = (desk.plan(FILE, variant=name) for name in NAMES[2:4])
    assert [len(plan.nodes) for plan in (one, two)] == [3, 5]
    for plan, sizes in ((one, ("1", "2")), (two, ("4", "8"))):
        decode = plan.by_name["decode-0"]
        at = decode.command.index("--cuda-graph-bs")
        assert decode.command[at + 1 : at + 3] == sizes
        assert value(decode, "--mem-fraction-static") == "0.85"
        assert value(decode, "--max-running-requests") == "16"


def test_null_in_a_zip_removes_the_setting_of_that_variant(desk):
    first, second = (desk.plan(FILE, variant=name) for name in ("first", "second"))
    assert first.by_name["prefill-0"].probes.startup.deadline_s == 100.0
    assert second.by_name["prefill-0"].probes.startup.deadline_s == 1800.0


def test_a_variant_without_a_name_of_its_own_has_the_bases_and_its_tables(desk):
    assert desk.plan(FILE, variant="override_wide").name == "many_wide"
    assert desk.plan(FILE, variant="zip_override_scale_up[1]").name == "many_scale_up_1"
    assert desk.plan(FILE, variant="override_named").name == "special"
    assert desk.plan(FILE, variant="base").name == "many"


def test_the_variant_may_stand_behind_the_file(desk):
    path = desk.write(FILE)
    nodes = invented_nodes(9)
    for name in ("base", "override_wide", "zip_override_scale_up[0]", "*named"):
        behind = load.load(path.with_name(f"{path.name}:{name}"), nodes=nodes)
        assert behind == load.load(path, nodes=nodes, variant=name)


def test_a_file_whose_name_has_a_colon_is_read(desk):
    path = desk.write(GOOD)
    path = path.rename(path.with_name("good:1"))
    assert load.check(path, nodes=None).name == "good"


def test_two_different_choices_are_refused(desk):
    path = desk.write(FILE)
    with pytest.raises(WrongUsage, match="keep one"):
        load.check(path.with_name(f"{path.name}:base"), nodes=None, variant="override_wide")


def test_without_a_choice_the_names_of_all_variants_are_told(desk):
    with pytest.raises(WrongUsage) as caught:
        load.load(desk.write(FILE), nodes=invented_nodes(9))
    assert ", ".join(("base", *NAMES)) in str(caught.value)


def test_a_choice_that_matches_nothing_is_told_what_there_is(desk):
    with pytest.raises(WrongUsage, match="has base, override_wide"):
        load.check(desk.write(FILE), nodes=None, variant="override_wid")
    with pytest.raises(WrongUsage, match="has no variants"):
        load.check(desk.write(GOOD), nodes=None, variant="x")


def test_the_only_variant_needs_no_choice(desk):
    alone = FILE[: FILE.index("override_wide")]
    assert desk.plan(alone).name == "many"
    assert desk.plan(alone + "override_x: {name: other}\n").name == "other"


def test_a_plan_has_no_variants(desk):
    with pytest.raises(WrongUsage, match="is a plan and has no variants"):
        load.check(desk.write(desk.load(GOOD).text), nodes=None, variant="base")


def test_settings_are_changed_after_the_variant_is_chosen(desk):
    plan = desk.plan(FILE, "resources.decode_nodes=4", "name=x", variant="override_wide")
    assert (plan.name, len(plan.nodes)) == ("x", 5)
    problem = desk.problem(FILE[: FILE.index("override_named")], "resources.decode_nodes=3")
    assert "3 nodes do not divide evenly among 2 workers" in problem.message


def test_a_problem_has_the_line_that_the_value_came_from(desk):
    text = FILE.replace("[2, 4]\n    decode_workers", "[3, 4]\n    decode_workers")
    (problem,) = problems(desk, text)
    assert problem.path == "resources.decode_nodes"
    assert text.splitlines()[problem.line - 1] == "    decode_nodes: [3, 4]"
    assert problem.message.endswith("(in zip_override_scale_up[0])")


def test_a_problem_of_the_base_is_told_once_for_all_variants(desk):
    (problem,) = problems(desk, FILE.replace("gpus_per_node: 8", "gpus_per_node: x"))
    assert problem.line == 5
    assert problem.message.endswith("(in every variant)")
    (alone,) = problems(desk, FILE.replace("gpus_per_node: 8", "gpus_per_node: x"), "base")
    assert "(in" not in alone.message


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        (
            ("decode_workers: [2, 4]", "decode_workers: [2, 4, 8]"),
            "zip_override_scale_up.resources.decode_workers",
            "has 3 values and zip_override_scale_up.resources.decode_nodes has 2; give 2, or 1",
        ),
        (
            ("mem-fraction-static: [0.85]", "mem-fraction-static: []"),
            "zip_override_scale_up.backend.sglang_config.decode.mem-fraction-static",
            "is an empty list",
        ),
        (("name: [first, second]", "name: [a, b, c]"), "zip_override_called.", "has"),
        (
            ("  name: special", "  - x"),
            "override_named",
            "must be a table",
        ),
        (("override_named:", "overide_named:"), "overide_named", "is beside base"),
        (("base:", "bass:"), "override_wide", "there is no base"),
    ],
)
def test_variants_that_can_not_be_made_are_problems_with_their_place(desk, change, path, words):
    text = FILE.replace(*change)
    found = problems(desk, text)[0]
    assert found.path.startswith(path)
    assert words in found.message
    assert text.splitlines()[found.line - 1].lstrip().startswith(found.path.split(".")[-1])


def test_a_variant_that_can_not_be_made_keeps_no_other_from_being_used(desk):
    text = FILE.replace("decode_workers: [2, 4]", "decode_workers: [2, 4, 8]")
    assert desk.plan(text, variant="override_named").name == "special"


def test_the_schema_may_stand_beside_the_base(desk):
    text = """\
schema: 2
base:
  name: two
  model: {path: /m}
  engine: sglang
  frontend: {type: sglang-router}
  roles: {agg: {nodes: 1, workers: 1}}
override_more:
  roles: {agg: {nodes: 2, workers: 2}}
"""
    assert len(desk.plan(text).nodes) == 2


def test_a_sweep_has_a_variant_for_each_point(desk):
    assert names(desk, SWEEP) == POINTS
    plan = desk.plan(SWEEP, variant=POINTS[2])
    prefill = plan.by_name["prefill-0"]
    assert plan.name == POINTS[2]
    assert value(prefill, "--max-tokens") == "8192"
    assert "--fast" in prefill.command
    assert "--fast" not in desk.plan(SWEEP, variant=POINTS[3]).by_name["prefill-0"].command
    assert prefill.env["WHERE"] == "n0 8192"


def test_a_sweep_without_a_choice_lists_its_points(desk):
    with pytest.raises(WrongUsage, match=", ".join(POINTS)):
        load.check(desk.write(SWEEP), nodes=None)


def test_a_swept_number_is_a_number(desk):
    text = GOOD.replace("gpus_per_node: 8", 'gpus_per_node: "{n}"') + "sweep: {n: [4, x]}\n"
    assert desk.plan(text, variant="good_n4").units[0].gpus == (0, 1, 2, 3)
    (problem,) = problems(desk, text)
    assert problem.path == "resources.gpus_per_node"
    assert problem.line == text.count("\n")
    assert problem.message.endswith("(in good_nx)")


def test_a_value_that_can_not_stand_in_a_name_is_written_another_way(desk):
    text = GOOD + 'environment: {A: "{a}"}\nsweep: {a: ["x/y z"]}\n'
    assert desk.plan(text).name == "good_ax-y-z"


def test_variants_may_have_sweeps(desk):
    text = (
        FILE[: FILE.index("override_named")] + "  environment: {A: '{a}'}\n  sweep: {a: [1, 2]}\n"
    )
    assert names(desk, text) == ("many_wide_a1", "many_wide_a2")
    assert names(desk, text, "override_wide") == ("many_wide_a1", "many_wide_a2")


@pytest.mark.parametrize(
    ("sweep", "path", "words"),
    [
        ("[1]", "sweep", "must be a table of lists"),
        ("{}", "sweep", "must be a table of lists"),
        ("{a: []}", "sweep.a", "is an empty list"),
        ("{a: [[1]]}", "sweep.a", "may contain only numbers"),
        ("{a: [1], b: [2]}", "sweep.b", "no setting of the recipe contains {b}"),
        (f"{{a: {list(range(1001))}}}", "sweep", "at most 1000"),
    ],
)
def test_a_wrong_sweep_is_a_problem(desk, sweep, path, words):
    text = GOOD + "environment: {A: '{a}'}\nsweep: " + sweep + "\n"
    (problem,) = problems(desk, text)
    assert problem.path == path
    assert words in problem.message
    assert problem.line == text.count("\n")


def test_a_sweep_given_as_nothing_is_as_left_out(desk):
    assert desk.plan(GOOD + "sweep:\n") == desk.plan(GOOD)


def test_more_variants_than_anybody_runs_are_a_problem(desk):
    text = FILE + f"zip_override_x: {{environment: {{A: {list(range(1001))}}}}}\n"
    (problem,) = problems(desk, text, "zip_override_x")
    assert "makes 1001 variants" in problem.message
