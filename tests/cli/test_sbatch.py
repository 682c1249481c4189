"""``pdsup sbatch``: the job script of a recipe, and how it fails."""

import os
import subprocess
from pathlib import Path

import pytest

from pdsup.cli.main import main
from pdsup.plan.compile import load
from pdsup.plan.compile.nodes import parse_nodes

CONFIGS = Path(__file__).parents[2] / "configs"
DEMO, DEEPSEEK = str(CONFIGS / "demo.yaml"), str(CONFIGS / "deepseek-r1-sglang-router.yaml")


def directives(text):
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if "#SBATCH" in line]


@pytest.mark.processes
def test_it_prints_a_script_that_bash_can_read(capfd):
    assert main(["sbatch", DEMO]) == 0
    text, error = capfd.readouterr()
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, error) == (0, "", "")
    assert f"    pdsup agent {DEMO} --run-dir" in text


def test_a_recipe_that_others_can_change_makes_no_job_unless_that_is_accepted(tmp_path, capfd):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(Path(DEMO).read_text())
    recipe.chmod(0o646)
    assert main(["sbatch", str(recipe)]) == 1
    assert "every user may write to it; chmod go-w" in capfd.readouterr().err
    for words in ((), ("--set", "frontend.port=8001")):
        assert main(["sbatch", str(recipe), "--allow-writable", *words]) == 0
        assert " --allow-writable --run-dir " in capfd.readouterr().out


def test_the_recipe_says_how_many_nodes_and_for_how_long(capfd):
    assert main(["sbatch", DEEPSEEK]) == 0
    assert directives(capfd.readouterr().out) == [
        "--job-name=deepseek-r1-sglang-router",
        "--nodes=4",
        "--ntasks-per-node=1",
        "--signal=USR1@120",
        "--exclusive",
        "--gpus-per-node=4",
        "--time=04:00:00",
    ]


def test_settings_from_the_command_line_hold_for_the_nodes_and_for_the_agents(capfd):
    words = ("--set", "resources.decode_nodes=4", "--set", "slurm.account=my lab")
    assert main(["sbatch", DEMO, *words, "--signal-before", "300"]) == 0
    text = capfd.readouterr().out
    assert directives(text)[1:4] == ["--nodes=6", "--ntasks-per-node=1", "--signal=USR1@300"]
    assert '--account="my lab"' in text
    assert f"pdsup plan {DEMO} --set=resources.decode_nodes=4 '--set=slurm.account=my lab'" in text
    assert 'pdsup agent "$PDSUP_RUN_DIR/job.yaml"' in text


def test_the_agents_run_in_a_container_if_there_is_one(capfd):
    words = ("--container-image", "/images/it's.sqsh", "--container-mounts", "/data:/data,$HOME:/h")
    assert main(["sbatch", DEMO, *words]) == 0
    text = capfd.readouterr().out
    assert "    '--container-image=/images/it'\"'\"'s.sqsh' \\\n" in text
    assert "    '--container-mounts=/data:/data,$HOME:/h' \\\n" in text


def test_a_path_that_is_no_text_is_passed_on_as_it_is(tmp_path, capfdbinary):
    file = tmp_path / os.fsdecode(b"caf\xe9.yaml")
    file.write_text(Path(DEMO).read_text())
    assert main(["sbatch", str(file)]) == 0
    assert b"/caf\xe9.yaml" in capfdbinary.readouterr().out


def test_a_wrong_setting_is_told_with_its_line(tmp_path, capfd):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"{Path(DEMO).read_text()}slurm:\n  time_limit: 4:00:00\n")
    line = len(file.read_text().splitlines())
    assert main(["sbatch", str(file)]) == 1
    out, error = capfd.readouterr()
    assert out == ""
    assert f"{file}:{line}:3: slurm.time_limit: is 14400 to YAML; put it in quotes" in error


def test_a_plan_is_refused_as_its_nodes_are_chosen_already(tmp_path, capfd):
    file = tmp_path / "plan.yaml"
    file.write_bytes(load.load(Path(DEMO), nodes=parse_nodes("n[0-3]")).text)
    assert main(["sbatch", str(file)]) == 2
    error = (
        f"pdsup: cannot make a job of {file}: it is a plan, which fixes its nodes; give a recipe\n"
    )
    assert capfd.readouterr() == ("", error)


@pytest.mark.parametrize("seconds", ["0", "-1", "65536", "soon", "1.5", "9999999"])
def test_a_warning_ahead_of_the_end_has_slurms_bounds(seconds, capfd):
    assert main(["sbatch", DEMO, f"--signal-before={seconds}"]) == 2
    assert "is not a number of seconds from 1 to 65535" in capfd.readouterr().err
