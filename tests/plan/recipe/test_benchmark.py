"""The sweep that a recipe's benchmark asks for."""

import pytest

from tests.plan.recipes import ONE_EACH, recipe

SWEEP = {"type": "sa-bench", "isl": 1024, "osl": 512, "concurrencies": [1, 8]}


def sweep(desk, *settings, **given):
    return desk.plan(recipe(ONE_EACH, benchmark={**SWEEP, **given}), *settings).sweep


def value(sweep, flag):
    return sweep.command[sweep.command.index(flag) + 1]


@pytest.mark.parametrize(
    ("given", "points"),
    [
        ([4, 8], ("4", "8")),
        (["4", "8x16"], None),
        ("1x2x4", ("1", "2", "4")),
        ("8", ("8",)),
        (64, ("64",)),
        ("4, 8", ("4", "8")),
        ([8, 8], ("8",)),
    ],
)
def test_each_concurrency_is_a_point(desk, given, points):
    if points is None:
        text = recipe(ONE_EACH, benchmark={**SWEEP, "concurrencies": given})
        assert desk.problem(text).path == "benchmark.concurrencies"
    else:
        assert sweep(desk, concurrencies=given).points == points


def test_the_load_is_that_of_the_recipe(desk):
    found = sweep(desk, req_rate="inf", random_range_ratio=0.5, num_prompts_mult=4)
    assert found.command[:3] == ("python3", "-m", "sglang.bench_serving")
    assert value(found, "--random-input-len") == "1024"
    assert value(found, "--random-output-len") == "512"
    assert value(found, "--random-range-ratio") == "0.5"
    assert value(found, "--request-rate") == "inf"
    assert value(found, "--max-concurrency") == "{}"
    assert (value(found, "--num-prompts"), value(found, "--warmup-requests")) == ("{*4}", "{*2}")
    assert value(found, "--base-url") == "{url}"
    assert value(found, "--output-file") == "{results}/bench.jsonl"


def test_the_model_is_the_one_that_the_workers_serve(desk):
    found = sweep(desk, "backend.sglang_config.decode.served-model-name=tiny")
    assert value(found, "--model") == "tiny"


@pytest.mark.parametrize(("chat", "backend"), [
    (None, "sglang-oai-chat"), (True, "sglang-oai-chat"), (False, "sglang-oai"),
])  # fmt: skip
def test_the_chat_template_is_used_unless_the_recipe_says_no(desk, chat, backend):
    assert value(sweep(desk, use_chat_template=chat), "--backend") == backend


def test_the_stand_in_has_a_load_tool_of_its_own(desk):
    assert sweep(desk, "backend.type=mock").command[2] == "pdsup.mock.bench"


@pytest.mark.parametrize("given", [{"type": "aiperf"}, {"tool": "aiperf"}])
def test_aiperf_is_a_load_tool_too(desk, given):
    found = sweep(desk, req_rate=5, **given)
    assert found.command[:2] == ("aiperf", "profile")
    assert value(found, "--synthetic-input-tokens-mean") == "1024"
    assert value(found, "--output-tokens-mean") == "512"
    assert (value(found, "--concurrency"), value(found, "--request-rate")) == ("{}", "5")
    assert value(found, "--request-count") == "{*10}"
    assert "--request-rate" not in sweep(desk, **given).command


def test_a_trace_is_replayed_by_aiperf(desk):
    trace = {"type": "trace-replay", "trace_file": "traces/a.jsonl", "concurrencies": None}
    found = sweep(desk, ttft_threshold_ms=900, **trace)
    assert found.points == ("1", "5", "25", "50")
    assert value(found, "--input-file") == "traces/a.jsonl"
    assert value(found, "--custom-dataset-type") == "mooncake_trace"
    assert value(found, "--goodput") == "time_to_first_token:900 inter_token_latency:25"


def test_a_trace_on_its_own_schedule_is_a_sweep_of_one_point(desk):
    given = {"type": "mooncake-router", "trace_file": "a.jsonl"}
    found = desk.plan(recipe(ONE_EACH, benchmark=given)).sweep
    assert found.points == ("mooncake-router",)
    assert "--fixed-schedule" in found.command
    assert "--concurrency" not in found.command


@pytest.mark.parametrize(("name", "examples"), [("mmlu", "200"), ("gpqa", "198"), ("gsm8k", "200")])
def test_an_accuracy_suite_is_a_sweep_of_one_point(desk, name, examples):
    found = desk.plan(recipe(ONE_EACH, benchmark={"type": name, "num_threads": 4})).sweep
    assert found.points == (name,)
    assert found.command[:3] == ("python3", "-m", "sglang.test.run_eval")
    assert (value(found, "--eval-name"), value(found, "--num-examples")) == ("{}", examples)
    assert value(found, "--num-threads") == "4"


@pytest.mark.parametrize("given", [
    {"type": "manual"}, {"type": None}, {"type": ["sa-bench"]}, {"type": "mooncake-router"},
    {"concurrencies": None}, {"isl": None}, {"osl": None}, {"type": "trace-replay"},
])  # fmt: skip
def test_what_is_no_sweep_gives_none(desk, given):
    assert sweep(desk, **given) is None


def test_a_command_of_the_user_is_a_unit_beside_the_sweep(desk):
    plan = desk.plan(recipe(ONE_EACH, benchmark={**SWEEP, "command": "./mine"}))
    assert plan.by_name["benchmark"].command == ("./mine",)
    assert plan.sweep is not None


@pytest.mark.parametrize("given", [
    {"isl": 0}, {"isl": "long"}, {"osl": True}, {"concurrencies": "many"}, {"concurrencies": [0]},
    {"concurrencies": {"a": 1}}, {"random_range_ratio": 2}, {"random_range_ratio": "x"},
    {"req_rate": 0}, {"req_rate": "fast"}, {"num_prompts_mult": 0}, {"num_warmup_mult": -1},
])  # fmt: skip
def test_a_wrong_value_is_a_problem_at_its_place(desk, given):
    found = desk.problem(recipe(ONE_EACH, benchmark={**SWEEP, **given}))
    assert found.path == f"benchmark.{next(iter(given))}"
