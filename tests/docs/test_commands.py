"""Commands in the documentation do what the page says: those a reader can run here are run."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdsup.cli.main import ALIASES, parsed
from pdsup.cli.screens.catalogue import VERBS
from pdsup.mock import knobs
from pdsup.mock.knobs import Knobs
from tests.bed.addresses import fresh_address
from tests.docs.desk import Desk
from tests.docs.pages import DOCS, PAGES, ROOT, block, blocks, name

TUTORIAL = DOCS / "tutorial" / "first-cluster.md"
BY_HAND = DOCS / "how-to" / "hand-written-plan.md"
README = ROOT / "README.md"
FIND_OUT = DOCS / "how-to" / "find-out.md"
WATCH = DOCS / "how-to" / "watch-and-scrape.md"
GET_NOTIFIED = DOCS / "how-to" / "get-notified.md"
BENCHMARK = DOCS / "how-to" / "benchmark.md"
SLURM = DOCS / "how-to" / "slurm.md"
FROM_SRTCTL = DOCS / "how-to" / "from-srtctl.md"
PRACTISE = DOCS / "how-to" / "practise.md"
RECIPE = DOCS / "reference" / "recipe.md"
OPERATORS = set("();<>|&")


def typed(page: Path) -> list[str]:
    """What a reader of the page types on a console."""
    return [line for one in blocks(page) if one.language == "console" for line in one.commands]


def test_every_command_of_the_tutorial_works_in_a_fresh_checkout(desk: Desk) -> None:
    desk.check_out()
    done = desk.type(typed(TUTORIAL))
    assert done.returncode == 0, done.stdout
    again = "run 2 begins, after: killed by SIGKILL"
    for shown in (again, "restarts 1", '"object":"list"', "\nclean: "):
        assert shown in done.stdout


def test_what_the_readme_lets_one_try_works_and_so_does_what_the_pages_say_of_a_cluster_that_is_up(
    desk: Desk,
) -> None:
    desk.install()
    desk.bring("configs")
    *steps, last = [line[2:] for line in block(README, "try").splitlines()]
    scripts = [one.text for page in (FIND_OUT, WATCH) for one in blocks(page) if one.commands]
    others = [bounded(line) for text in scripts for line in text.splitlines()]
    commands = [line.replace("demo-4711", "try") for line in (*steps, *others, last)]
    done = desk.type(commands)
    assert done.returncode == 0, done.stdout
    assert "decode-0 (decode worker on node2) is BACKOFF since" in done.stdout
    assert "wrote report.html" in done.stdout
    assert "pdsup_unit_ready{" in done.stdout


def bounded(command: str) -> str:
    """A command that goes on until Ctrl-C gets one after a moment."""
    endless = {"-f", "--watch"} & set(command.split())
    return f"! timeout -s INT 1 {command}" if endless else command


def test_a_benchmark_that_kills_a_worker_is_tainted_as_the_page_says(desk: Desk) -> None:
    desk.install()
    desk.bring("configs")
    done = desk.type(typed(BENCHMARK))
    assert done.returncode == 0, done.stdout
    assert "tainted: 1 incident in" in done.stdout
    assert "decode-0 (node2) was restarted, down for" in done.stdout


def test_a_hook_gets_what_the_page_says(desk: Desk) -> None:
    desk.install()
    desk.bring("configs")
    done = desk.type(typed(GET_NOTIFIED))
    assert done.returncode == 0, done.stdout
    for event in ("down", "restart"):
        assert f'{{"hook":"{event}","cluster":"demo","at":' in done.stdout


def test_the_plan_written_by_hand_runs_with_the_commands_beside_it(desk: Desk) -> None:
    desk.install()
    plan = block(BY_HAND, "plan.yaml")
    for address in set(re.findall(r"127\.[0-9.]+", plan)):
        plan = plan.replace(address, fresh_address())
    (desk.work / "plan.yaml").write_text(plan)
    done = desk.type(typed(BY_HAND))
    assert done.returncode == 0, done.stdout
    assert "plan.yaml: good: 2 nodes, 2 units" in done.stdout
    assert "exited with status 0" in done.stdout


@pytest.mark.parametrize("page", [SLURM, FROM_SRTCTL], ids=name)
def test_the_recipe_of_the_reference_passes_the_checks_before_a_job(desk: Desk, page: Path) -> None:
    desk.install()
    (desk.work / "recipe.yaml").write_text(block(RECIPE, "recipe.yaml"))
    done = desk.type(typed(page))
    assert done.returncode == 0, done.stdout
    assert "recipe.yaml: good: 4 nodes, 9 units" in done.stdout


def test_the_job_script_on_the_page_is_the_one_that_is_printed(desk: Desk) -> None:
    desk.install()
    slurm = 'slurm: {time_limit: "04:00:00"}\n'
    (desk.work / "recipe.yaml").write_text(block(RECIPE, "recipe.yaml") + slurm)
    done = desk.type(["pdsup sbatch recipe.yaml > job.sh"])
    assert done.returncode == 0, done.stdout
    assert (desk.work / "job.sh").read_text() == block(SLURM, "job.sh")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_pdsup_command_on_a_page_has_arguments_that_exist(page: Path) -> None:
    for one in blocks(page):
        for text in one.commands:
            for words in calls(text):
                understood(words)


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_a_command_has_arguments_that_exist(verb: str) -> None:
    example = importlib.import_module(f"pdsup.cli.verbs.{verb.replace('-', '_')}").EXAMPLE
    (words,) = calls(example)
    assert words[0] == verb
    understood(words)


def test_the_faults_to_practise_with_are_knobs_of_the_stand_in() -> None:
    text = PRACTISE.read_text("utf-8")
    given = dict(re.findall(r"\b(MOCK_[A-Z_]+)=([^\s`|]+)", text))
    assert len(given) > 8
    knobs.from_environment(given)
    requests = re.findall(r"`(\{\"[^`]+\})`", text)
    assert len(requests) > 3
    for request in requests:
        knobs.change(Knobs(), json.loads(request))


def understood(words: list[str]) -> None:
    """Parses ``VERB ARGUMENTS`` as pdsup does; fails with WrongUsage."""
    parsed(ALIASES.get(words[0], words[0]), words[1:])


def calls(text: str) -> Iterator[list[str]]:
    """The words behind each ``pdsup`` of a shell text, up to the end of its command."""
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] | None = None
        for token in [*lexer, ";"]:
            if set(token) <= OPERATORS:
                if words:
                    yield words
                words = None
            elif words is not None:
                words.append(token)
            elif Path(token).name == "pdsup":
                words = []
