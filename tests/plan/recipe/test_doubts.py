"""What is probably wrong with a recipe: unknown flags, and a model that is not here."""

import pytest

from pdsup.errors import InvalidDocument
from pdsup.plan.compile.load import load
from pdsup.plan.compile.nodes import parse_nodes
from pdsup.plan.engines import sglang
from pdsup.plan.engines.known import ENGINES
from pdsup.plan.flags import KnownFlags
from pdsup.plan.frontends.known import FRONTENDS
from pdsup.plan.frontends.router_flags import ROUTER
from tests.plan.recipes import GOOD
from tests.plan.test_check_sizes import SCHEMA_2


class Here:
    """A machine with these models, and perhaps a router."""

    def __init__(self, *models, router=None):
        self._models, self._router = models, router

    def flags(self, frontend):
        return self._router

    def has(self, path):
        return path in self._models


MODEL = "/models/small"
INSTALLED = KnownFlags(
    program="router 9", names=frozenset({"policy", "dp-aware", "often", "workers"}),
    choices={"policy": ("cache_aware",)}, numbers={"often": int},
    switches=frozenset({"dp-aware"}), certain=True,
)  # fmt: skip


def warnings(desk, recipe, *settings, machine=None):
    """The warnings, as ``path: message``."""
    loaded = load(
        desk.write(recipe), nodes=parse_nodes("n[0-1]"), overrides=settings,
        machine=machine or Here(MODEL),
    )  # fmt: skip
    assert {one.severity for one in loaded.warnings} <= {"warning"}
    return [f"{one.path}: {one.message}" for one in loaded.warnings]


@pytest.mark.parametrize(
    ("recipe", "table"),
    [
        (GOOD, "backend.sglang_config.prefill"),
        (GOOD, "backend.sglang_config.decode"),
        (SCHEMA_2, "roles.agg.args"),
    ],
)
@pytest.mark.parametrize("engine", ["sglang", "mock"])
def test_a_mistyped_flag_of_an_engine_is_a_warning_with_the_right_one(desk, recipe, table, engine):
    kind = "engine" if recipe is SCHEMA_2 else "backend.type"
    settings = (f"{table}.mem_fraction_statc=0.9", f"{kind}={engine}")
    assert warnings(desk, recipe, *settings) == [
        f"{table}.mem_fraction_statc: SGLang 0.5.6 to 0.5.23 has no flag --mem-fraction-statc;"
        " did you mean mem-fraction-static?"
    ]


def test_a_flag_that_is_like_no_other_may_be_new(desk):
    (warning,) = warnings(desk, SCHEMA_2, "roles.agg.args.quite-new=1")
    assert warning.endswith("has no flag --quite-new; another version may have it")


@pytest.mark.parametrize("flag", ["tp", "tensor_parallel_size", "no-enable-metrics", "dp-size"])
def test_what_argparse_would_take_is_no_doubt(desk, flag):
    assert warnings(desk, SCHEMA_2, f"roles.agg.args.{flag}=1") == []


@pytest.mark.parametrize("value", ["null", "false"])
def test_a_flag_that_is_not_passed_is_no_doubt(desk, value):
    assert warnings(desk, SCHEMA_2, f"roles.agg.args.polcy={value}") == []


@pytest.mark.parametrize("table", ["frontend.args", "frontend.sglang_router_args"])
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("polcy=x", "sglang-router 0.3.2 has no flag --polcy; did you mean policy?"),
        (
            "policy=cacheaware",
            'does not accept "cacheaware" for --policy; did you mean cache_aware',
        ),
        ("policy=consistent_hashing", "for --policy; choose from random, round_robin, cache_aware"),
    ],
)
def test_a_router_that_is_not_installed_is_known_from_its_last_version(desk, table, setting, told):
    (warning,) = warnings(desk, GOOD, f"{table}.{setting}")
    assert warning.startswith(f"{table}.")
    assert told in warning


def test_smg_has_flags_and_policies_of_its_own(desk):
    settings = ("frontend.type=smg", "frontend.args={policy: consistent_hashing, mini-lb: true}")
    (warning,) = warnings(desk, SCHEMA_2, *settings)
    assert warning.startswith("frontend.args.mini-lb: smg 1.13.0 has no flag --mini-lb")


REFUSED = [
    ("polcy=x", "the installed router 9 has no flag --polcy; did you mean policy?"),
    ("retries=5", "the installed router 9 has no flag --retries"),
    ("policy=random", 'does not accept "random" for --policy; choose from cache_aware'),
    ("often=daily", '--often of the installed router 9 takes a number, not "daily"'),
    ("dp-aware=3", "--dp-aware of the installed router 9 takes no value"),
    ("workers=true", "--workers of the installed router 9 needs a value"),
]


@pytest.mark.parametrize(("setting", "told"), REFUSED)
def test_what_the_installed_router_refuses_is_an_error(desk, setting, told):
    with pytest.raises(InvalidDocument) as caught:
        warnings(desk, GOOD, f"frontend.args.{setting}", machine=Here(MODEL, router=INSTALLED))
    (problem,) = caught.value.problems
    assert (problem.path, problem.severity) == (f"frontend.args.{setting.split('=')[0]}", "error")
    assert told in problem.message


@pytest.mark.parametrize("where", ["model.container=sglang", "srun_options.container-image=x.sqsh"])
@pytest.mark.parametrize(("setting", "told"), REFUSED)
def test_the_router_in_a_container_may_be_another_one(desk, where, setting, told):
    machine = Here(MODEL, router=INSTALLED)
    (warning,) = warnings(desk, GOOD, where, f"frontend.args.{setting}", machine=machine)
    assert told.replace("the installed ", "") in warning


@pytest.mark.parametrize(
    "setting", ["policy=cache_aware", "often=3", "dp-aware=true", "workers=[a, b]"]
)
def test_what_the_installed_router_takes_is_good(desk, setting):
    machine = Here(MODEL, router=INSTALLED)
    assert warnings(desk, GOOD, f"frontend.args.{setting}", machine=machine) == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (MODEL, []),
        ("org/model", []),
        ("hf:org/model", []),
        (
            "/models/big",
            ["model.path: is not on this machine; it must be on the nodes, or mounted"],
        ),
        (
            "qwen3-32b",
            ["model.path: is neither a directory here nor a Hugging Face name (ORG/NAME)"],
        ),
    ],
)
def test_a_model_that_is_not_here_is_a_warning_for_a_real_engine_only(desk, path, told):
    found = warnings(desk, GOOD, f"model.path={path}")
    assert [one[: len(start)] for one, start in zip(found, told, strict=True)] == told
    assert warnings(desk, GOOD, f"model.path={path}", "backend.type=mock") == []


def test_what_is_set_here_is_known():
    """The flags of each worker, and the defaults of each router."""
    for engine in ENGINES.values():
        own = {*sglang.PLACED, *sglang.DROPPED, *engine.port_flags.values(), *sglang.MODEL_PATH}
        assert own - {"nccl-init-addr"} <= engine.known_flags.names | {"model"}
    for frontend in FRONTENDS.values():
        args, _ = frontend.settle({}, "args")
        assert {*args} <= frontend.known_flags.names
    assert "bucket" in ROUTER.choices["prefill-policy"]


@pytest.mark.parametrize(("benchmark", "warning"), [
    ("{type: sa-bnch}", "benchmark.type: sa-bnch is none that is run; did you mean sa-bench?"),
    ("{type: sa-bench, isl: 1, osl: 1}", "benchmark: it lacks concurrencies, so it is not run"),
    ("{type: sa-bench, isl: 1, osl: 1, concurrencies: 4, num_promts_mult: 3}",
     "benchmark.num_promts_mult: is not a setting that is used; did you mean num_prompts_mult?"),
])  # fmt: skip
def test_a_benchmark_that_is_not_run_as_it_was_meant_is_a_doubt(desk, benchmark, warning):
    assert warnings(desk, f"{SCHEMA_2}benchmark: {benchmark}\n") == [warning]


@pytest.mark.parametrize(
    "benchmark",
    ["{type: manual}", "{type: longbenchv2}", "{command: x}",
     "{type: sa-bench, isl: 1, osl: 1, concurrencies: 4, custom_tokenizer: x}"],
)  # fmt: skip
def test_a_benchmark_that_is_run_or_is_not_ours_is_none(desk, benchmark):
    assert warnings(desk, f"{SCHEMA_2}benchmark: {benchmark}\n") == []
