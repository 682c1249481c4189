"""The job script of a recipe: what Slurm is told, and that no value can break out of its place."""

import subprocess

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pdsup.plan.document import syntax
from pdsup.plan.recipe import job_script
from pdsup.plan.recipe.job_script import Job

HOSTILE = (
    "a b",
    "x'; touch broken; '",
    'q"',
    "$(touch broken)",
    "`touch broken`",
    "a\nb",
    "-x",
    "",
)


def made(**changes):
    given = {"recipe": "recipe.yaml", "name": "demo", "nodes": 4, "signal_before_s": 120}
    return job_script.script(Job(**(given | changes)))


@pytest.mark.processes
def test_the_run_directory_that_a_job_makes_is_its_users_alone(tmp_path):
    (line,) = (line for line in made().splitlines() if "mkdir" in line)
    script = f"umask 0; PDSUP_RUN_DIR=runs/x; {line}; umask"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == b"0000\n"
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")} == {0o755}


def options(recipe):
    return job_script.options(syntax.parse(yaml.safe_dump(recipe)).root)


def problem(recipe):
    *_, problems = options(recipe)
    (only,) = problems
    return f"{only.path}: {only.message}"


def directives(text):
    return [line for line in text.splitlines() if line.startswith("#SBATCH ")]


def called(text, tmp_path, **environ):
    """The words of each ``srun`` that bash runs for a script."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/bash\nprintf '%s\\0' \"$@\" >> calls; printf '\\n\\0' >> calls\n")
    srun.chmod(0o755)
    done = subprocess.run(
        ["bash", "-u"],
        input=text.encode(),
        cwd=tmp_path,
        env={"PATH": f"{srun.parent}:/usr/bin:/bin", "SLURM_JOB_ID": "7", **environ},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    calls = (tmp_path / "calls").read_bytes().decode().split("\n\0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "calls", "runs"]
    return [call.split("\0")[:-1] for call in calls if call]


@pytest.mark.processes
def test_every_node_gets_one_agent_which_outlives_the_others(tmp_path):
    ((*flags, agent, verb, recipe, option, run_dir),) = called(made(), tmp_path)
    assert flags == ["--ntasks-per-node=1", "--kill-on-bad-exit=0", "--wait=0"]
    assert [agent, verb, recipe, option] == ["pdsup", "agent", "recipe.yaml", "--run-dir"]
    assert run_dir == f"{tmp_path}/runs/demo-7"


def test_slurm_is_told_the_name_the_nodes_and_to_warn_the_agents_not_the_shell():
    assert directives(made(signal_before_s=90)) == [
        "#SBATCH --job-name=demo",
        "#SBATCH --nodes=4",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --signal=USR1@90",
    ]


def test_slurms_lines_stand_before_the_first_command():
    first, *others = made().splitlines()
    assert first == "#!/bin/bash"
    assert others.index("") == len(directives(made()))


@pytest.mark.processes
def test_the_shell_and_srun_do_not_die_of_slurms_term(tmp_path):
    # srun stands in its place with the dispositions it inherits.
    text = made().replace("\nsrun ", "\ngrep SigIgn: /proc/self/status > ignored; srun ")
    subprocess.run(
        ["bash"], input=text, text=True, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, check=False,
        capture_output=True,
    )  # fmt: skip
    mask = int((tmp_path / "ignored").read_text().split()[1], 16)
    assert mask >> (15 - 1) & 1


@pytest.mark.processes
def test_what_was_chosen_on_the_command_line_goes_into_one_plan_for_all_agents(tmp_path):
    chosen = ("--variant=small", "--set=name=x y")
    plan, agents = called(made(selection=chosen), tmp_path)
    file = f"{tmp_path}/runs/demo-7/job.yaml"
    assert plan[:2] == ["--nodes=1", "--ntasks=1"]
    assert plan[2:] == ["pdsup", "plan", "recipe.yaml", *chosen, "--output", file]
    assert agents[3:6] == ["pdsup", "agent", file]


@pytest.mark.processes
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_stays_one_word(value, tmp_path):
    options = {"container-image": value, "container-mounts": value}
    text = made(recipe=f"dir/{value}", srun=options, selection=(f"--set={value}",))
    plan, agents = called(text, tmp_path)
    own = [f"--container-image={value}", f"--container-mounts={value}"]
    assert plan[2:8] == [*own, "pdsup", "plan", f"dir/{value}", f"--set={value}"]
    assert agents[3:5] == own


@pytest.mark.processes
@settings(max_examples=20)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_bash_can_read_whatever_a_value_is(value):
    text = made(recipe=value, srun={"container-image": value}, selection=(value,))
    done = subprocess.run(["bash", "-n"], input=text.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.processes
def test_a_recipe_whose_name_begins_with_a_dash_is_no_option(tmp_path):
    ((*_, recipe, _, _),) = called(made(recipe="-x.yaml"), tmp_path)
    assert recipe == "./-x.yaml"


def test_a_job_takes_whole_nodes_with_their_gpus():
    found, srun, problems = options({"resources": {"gpus_per_node": 8}})
    assert (found, srun, problems) == ({"exclusive": None, "gpus-per-node": "8"}, {}, ())


@pytest.mark.parametrize(
    "recipe", [{"backend": {"type": "mock"}}, {"engine": "mock"}, {"engine": {"type": "mock"}}]
)
def test_a_job_of_stand_ins_asks_for_no_gpu(recipe):
    found, _, _ = options(recipe)
    assert found == {"exclusive": None}


def test_the_recipe_says_account_partition_time_and_further_options():
    found, srun, problems = options(
        {
            "backend": {"type": "mock"},
            "slurm": {"account": "lab", "partition": "gb200,gb300", "time_limit": "1-12"},
            "sbatch_directives": {"exclusive": False, "requeue": "", "comment": "a night"},
            "srun_options": {"mpi": "none", "overlap": True, "label": False},
        }
    )
    assert problems == ()
    assert srun == {"mpi": "none", "overlap": None}
    assert directives(made(directives=found))[4:] == [
        "#SBATCH --account=lab",
        "#SBATCH --partition=gb200,gb300",
        "#SBATCH --time=1-12",
        '#SBATCH --comment="a night"',
        "#SBATCH --requeue",
    ]


@pytest.mark.parametrize(
    "time", ["30", "30:00", "04:00:00", "2-0", "2-12:30", "2-12:30:00", "unlimited"]
)
def test_a_time_may_have_each_of_slurms_forms(time):
    found, _, problems = options({"slurm": {"time_limit": time}})
    assert (found["time"], problems) == (time, ())


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ({"slurm": {"time_limit": 14400}}, 'slurm.time_limit: is 14400 to YAML; put it in quotes'),
        ({"slurm": {"time_limit": "4h"}}, 'slurm.time_limit: must be a time like "04:00:00"'),
        ({"slurm": {"time_limit": "1:2:3:4"}}, "slurm.time_limit: must be a time"),
        ({"slurm": {"acount": "a"}}, "slurm.acount: is not a known setting; did you mean account?"),
        ({"slurm": "gpu"}, 'slurm: must be a table of settings, not "gpu"'),
        ({"slurm": {"account": "a\n#SBATCH --nodes=99"}}, "slurm.account: must be one line"),
        ({"slurm": {"account": 'a" --nodes=99 "'}}, "slurm.account: must be one line without"),
        ({"slurm": {"partition": ["a"]}}, "slurm.partition: must be text or a whole number, not a"),
        ({"slurm": {"partition": ""}}, "slurm.partition: must be one line"),
        ({"sbatch_directives": {"nodes": 9}}, "sbatch_directives.nodes: can't be set"),
        ({"sbatch_directives": {"a b": 9}}, "sbatch_directives.a b: \"a b\" can't be the name"),
        ({"srun_options": {"wait": 9}}, "srun_options.wait: can't be set"),
        ({"resources": {"het_jobs": True}}, "resources.het_jobs: is not supported in job scripts"),
    ],
)  # fmt: skip
def test_what_can_not_stand_in_a_script_is_a_problem(recipe, sentence):
    assert problem(recipe).startswith(sentence)
