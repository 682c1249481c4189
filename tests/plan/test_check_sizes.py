"""What is too large for a program or for a name is a problem where it stands."""

import pytest

from pdsup.plan.check_sizes import MOST_BYTES
from tests.plan.compile.test_check_relations import changed
from tests.plan.recipes import GOOD

LONG = "x" * MOST_BYTES
NAME = "n" * 240
SCHEMA_2 = """\
schema: 2
name: good
model: {path: /models/small}
engine: sglang
roles:
  agg: {nodes: 1, workers: 1}
frontend: {type: sglang-router}
"""
PROBE = {"period_s": 1, "timeout_s": 1, "checks": [{"command": ["true", LONG]}]}


@pytest.mark.parametrize(
    ("recipe", "path"),
    [
        (GOOD, "model.path"),
        (GOOD, "environment.A"),
        (GOOD, "backend.prefill_environment.A"),
        (GOOD, "backend.decode_environment.A"),
        (GOOD, "backend.sglang_config.prefill.some-flag"),
        (GOOD, "backend.sglang_config.decode.served-model-name"),
        (GOOD, "frontend.args.some-flag"),
        (GOOD, "frontend.env.A"),
        (GOOD, "benchmark.command"),
        (SCHEMA_2, "roles.agg.args.some-flag"),
        (SCHEMA_2, "roles.agg.env.A"),
        (SCHEMA_2, "roles.agg.extra_args"),
        (SCHEMA_2, "environment.A"),
    ],
)
def test_a_value_of_a_recipe_that_no_program_can_get_is_a_problem_at_its_place(desk, recipe, path):
    problem = desk.problem(recipe, f"{path}={LONG}")
    assert problem.path == path
    assert "Linux passes at most 131,072 in one piece" in problem.message


@pytest.mark.parametrize(
    ("path", "value", "at"),
    [
        ("units.5.command", ["exporter", LONG], "units.5.command.1"),
        ("units.5.env", {"A": LONG}, "units.5.env.A"),
        ("units.5.stop", {"drain": ["true", LONG]}, "units.5.stop.drain.1"),
        ("units.5.probes", {"liveness": PROBE}, "units.5.probes.liveness.checks.0.command.1"),
        ("hooks", [{"events": ["down"], "command": ["true", LONG]}], "hooks.0.command.1"),
    ],
)
def test_a_word_of_a_plan_that_no_program_can_get_is_a_problem_at_its_place(desk, path, value, at):
    problem = desk.problem(changed(path, value))
    assert problem.path == at
    assert "Linux passes at most 131,072 in one piece" in problem.message


def test_all_words_of_a_command_have_a_limit_together(desk):
    problem = desk.problem(changed("units.5.command", ["exporter", *["x" * 100_000] * 21]))
    assert problem.path == "units.5.command"
    assert "Linux passes at most 2,097,152 to a program" in problem.message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", NAME),
        ("nodes.0.name", NAME),
        ("units.5.name", NAME),
        ("units.5.ports", {NAME: 1}),
        ("units.5.log", {"file": NAME}),
    ],
)
def test_a_name_that_is_too_long_is_called_too_long(desk, path, value):
    found = [problem.message for problem in desk.problems(changed(path, value))]
    assert f'"{NAME[:40]}"... has 240 characters; at most 200 are allowed' in found


def test_the_name_of_a_recipe_that_is_too_long_is_called_too_long(desk):
    assert "has 240 characters; at most 200" in desk.problem(GOOD, f"name={NAME}").message
