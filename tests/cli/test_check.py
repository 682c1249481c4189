"""``pdsup check``: its lines, its JSON and its exit statuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pdsup.cli.main import main

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"


def test_a_good_recipe_is_praised_in_one_line(capfd):
    assert main(["check", str(DEMO)]) == 0
    assert capfd.readouterr() == (f"{DEMO}: good: 4 nodes, 9 units\n", "")


def test_a_good_plan_is_praised_too(capfd, tmp_path):
    plan = tmp_path / "plan.yaml"
    assert main(["plan", str(DEMO), "--nodes", "n[0-3]", "-o", str(plan)]) == 0
    assert main(["check", str(plan)]) == 0
    assert capfd.readouterr().out == f"{plan}: good: 4 nodes, 9 units\n"


def test_a_good_recipe_has_an_empty_list_of_problems(capfd):
    assert main(["check", str(DEMO), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == []


def test_problems_go_to_stdout_one_a_line(capfd, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: a b\nmodel: {path: org/x}\nresources:\n  agg_nodes: 1\n")
    assert main(["check", str(recipe)]) == 1
    out, err = capfd.readouterr()
    assert err == ""
    assert [line.split(": ")[:2] for line in out.splitlines()] == [
        [f"{recipe}:1:1", "frontend.type"],
        [f"{recipe}:1:1", "name"],
        [f"{recipe}:3:1", "resources.agg_workers"],
    ]


def test_problems_as_json_have_path_message_line_and_column(capfd):
    assert main(["check", str(DEMO), "--json", "--set", "resources.gpus_per_node=0"]) == 1
    (problem,) = json.loads(capfd.readouterr().out)
    assert problem["path"] == "resources.gpus_per_node"
    assert problem["line"] == 15
    assert problem.keys() == {"path", "message", "line", "column", "setting", "severity"}
    assert problem["setting"] == "resources.gpus_per_node=0"


@pytest.mark.parametrize(
    "verb", [["check"], ["plan", "--nodes=n[0-3]"], ["plan", "--explain"], ["sbatch"]]
)
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("slurm={acount: foo}", "slurm.acount: is not a known setting; did you mean account?"),
        ("slurm={time_limit: 4:00:00}", "slurm.time_limit: is 14400 to YAML; put it in quotes"),
        ("sbatch_directives={nodes: 9}", "sbatch_directives.nodes: can't be set"),
        ("srun_options={wait: 9}", "srun_options.wait: can't be set"),
        ("frontend.type=dynamo", "frontend.type: dynamo is not supported yet; set frontend.type"),
    ],
)
def test_what_a_job_can_not_use_is_a_problem_for_every_verb(verb, setting, told, capfd):
    assert main([verb[0], str(DEMO), *verb[1:], "--set", setting]) == 1
    out, err = capfd.readouterr()
    line = (out if verb == ["check"] else err).splitlines()[0]
    assert line.startswith(f"--set {setting}: {told}")


WRONG = ("--set", "backend.sglang_config.prefill={tensor-paralel-size: 2}")
WARNING = (
    "warning: backend.sglang_config.prefill.tensor-paralel-size: SGLang 0.5.6 to 0.5.23 has no "
    "flag --tensor-paralel-size; did you mean tensor-parallel-size?"
)


def test_a_warning_is_a_line_before_the_praise_and_changes_no_status(capfd):
    assert main(["check", str(DEMO), *WRONG]) == 0
    first, second = capfd.readouterr().out.splitlines()
    assert first.endswith(f": {WARNING}")
    assert second.endswith("good: 4 nodes, 9 units")


def test_a_warning_as_json_has_its_severity(capfd):
    assert main(["check", str(DEMO), *WRONG, "--json"]) == 0
    (problem,) = json.loads(capfd.readouterr().out)
    assert problem["severity"] == "warning"


@pytest.mark.parametrize("verb", [["plan", "--nodes=n[0-3]"], ["plan", "--explain"], ["sbatch"]])
def test_other_verbs_print_the_warning_on_stderr(verb, capfd):
    assert main([verb[0], str(DEMO), *verb[1:], *WRONG]) == 0
    out, err = capfd.readouterr()
    assert out
    assert err.count("\n") == 1
    assert err.endswith(f": {WARNING}\n")


@pytest.mark.processes
@pytest.mark.parametrize("verb", [["check"], ["plan", "--nodes=n[0-3]"], ["sbatch"], ["up"]])
def test_what_the_installed_router_refuses_is_a_problem_for_every_verb(verb, capfd, tmp_path):
    setting = "frontend.args={polcy: cache_aware, policy: cacheaware}"
    words = [verb[0], str(DEMO), *verb[1:], "--set", setting]
    assert main([*words, *(["--run-dir", str(tmp_path / "run")] if verb == ["up"] else [])]) == 1
    out, err = capfd.readouterr()
    found = [line for line in (out + err).splitlines() if line.startswith("--set ")]
    assert [line.partition("frontend.args.")[2].partition(": the")[0] for line in found] == [
        "polcy", "policy",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [80, 160])
def test_problems_look_as_they_were_looked_at_on_any_terminal(screen, golden, tmp_path, width):
    """One a line, however long, as editors and terminals make links of them."""
    text = DEMO.read_text().replace("prefill_workers: 2", "prefill_workers: 3")
    (tmp_path / "recipe.yaml").write_text(text.replace("name: demo", "nam: demo"))
    good = screen("check", "demo.yaml", columns=width, cwd=DEMO.parent)
    golden("check", [*good, *screen("check", "recipe.yaml", columns=width, cwd=tmp_path)])


def test_too_few_nodes_are_a_problem(capfd):
    assert main(["check", str(DEMO), "--nodes", "a,b"]) == 1
    assert "takes 4 nodes, but only 2 are given" in capfd.readouterr().out


def test_an_unreadable_file_ends_with_2(capfd, tmp_path):
    assert main(["check", str(tmp_path / "none")]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"pdsup: cannot read {tmp_path / 'none'}: No such file or directory\n"


@pytest.mark.processes
def test_a_check_loads_nothing_heavy_that_it_does_not_need():
    """It is to take less than a quarter of a second; these would take as much by themselves."""
    program = f"""
import sys
from pdsup.cli.main import main
main(["check", {str(DEMO)!r}])
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    verdict, modules = said.splitlines()
    assert "good" in verdict
    heavy = {"aiohttp", "asyncio", "hypothesis", "importlib_metadata", "jinja2", "psutil"}
    assert not (heavy | {"prometheus_client", "structlog", "uvloop"}) & set(modules.split())


SEVERAL = """\
base:
  name: many
  model: {path: org/m}
  frontend: {type: sglang}
  resources: {agg_nodes: 1, agg_workers: 1}
override_two:
  resources: {agg_nodes: 2, agg_workers: 2}
override_uneven:
  resources: {agg_nodes: 3, agg_workers: 2}
"""


def test_all_variants_are_checked_and_a_problem_says_which_it_belongs_to(capfd, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(SEVERAL)
    assert main(["check", str(recipe)]) == 1
    (line,) = capfd.readouterr().out.splitlines()
    assert line.startswith(f"{recipe}:9:15: resources.agg_nodes: 3 nodes do not divide")
    assert line.endswith("(in override_uneven)")


def test_each_good_variant_is_praised_in_a_line(capfd, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(SEVERAL.replace("agg_nodes: 3", "agg_nodes: 4"))
    assert main(["check", str(recipe)]) == 0
    assert capfd.readouterr().out.splitlines() == [
        f"{recipe}: override_two: good: 2 nodes, 5 units",
        f"{recipe}: override_uneven: good: 4 nodes, 9 units",
    ]


def test_one_variant_is_checked_when_it_is_chosen(capfd, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(SEVERAL)
    assert main(["check", f"{recipe}:base"]) == 0
    assert capfd.readouterr().out == f"{recipe}:base: good: 1 node, 3 units\n"
    assert main(["check", str(recipe), "--variant", "override_two"]) == 0
    assert main(["check", str(recipe), "--variant", "none"]) == 2
