"""The reference says what the code does."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import runpy
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdsup import typed
from pdsup.api import live, queries, server, status
from pdsup.cluster import own_report
from pdsup.cluster.report import AgentReport, Report
from pdsup.journal import entry
from pdsup.journal.entry import Happening
from pdsup.plan.model import Node, Plan, PlanUnit, Restart
from pdsup.plan.recipe.schema1 import IGNORED, Recipe
from pdsup.plan.recipe.schema2 import RolesRecipe
from pdsup.plan.recipe.tables import Logs, Restarts
from pdsup.units import events, lifecycle, states
from pdsup.units.facts import Facts, Transition
from pdsup.units.process import exit
from tests.docs.pages import DOCS, block, name

GENERATOR = DOCS / "reference" / "generate.py"
PAGES: dict[Path, str] = runpy.run_path(str(GENERATOR))["pages"]()
JOURNAL = DOCS / "reference" / "journal.md"
HTTP = DOCS / "reference" / "http-api.md"
RECIPE = DOCS / "reference" / "recipe.md"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_generated_page_is_what_the_code_gives(page: Path) -> None:
    how = f"run .venv/bin/python {name(GENERATOR)} and commit what it writes"
    assert page.read_text("utf-8") == PAGES[page], how


def test_the_recipe_page_has_every_setting_and_no_other() -> None:
    described = RECIPE.read_text("utf-8").split("## Settings")[1].split("\nThese settings are")[0]
    rows = re.findall(r"^\| (`.+?`) \|", described, re.M)
    assert sorted(spelled_out(" ".join(rows))) == sorted(settings(Recipe, ""))


def spelled_out(text: str) -> Iterator[str]:
    """The settings in a text, where KIND stands for each role or kind of units."""
    kinds = {"restart": dataclasses.fields(Restarts), "log": dataclasses.fields(Logs)}
    for setting in re.findall(r"`([\w.]+)`", text):
        table, kind, rest = (*setting.split(".", 2), "", "")[:3]
        if kind == "KIND":
            yield from (f"{table}.{each.name}.{rest}" for each in kinds[table])
        else:
            yield setting


def test_the_recipe_page_has_every_setting_that_is_accepted_and_not_used() -> None:
    text = RECIPE.read_text("utf-8").split("accepted and not used:\n")[1].split("\n\n")[0]
    ignored = [f"{table}.{key}".lstrip(".") for table, keys in IGNORED.items() for key in keys]
    assert sorted(re.findall(r"`(.+?)`", text)) == sorted(ignored)


def test_the_recipe_page_has_every_setting_of_schema_2_and_no_other() -> None:
    section = RECIPE.read_text("utf-8").split("## Schema 2")[1].split("\nAccepted and not used")[0]
    first, *rows = re.split(r"\n\| ", section)
    named = spelled_out(" ".join([first, *(row.split(" |")[0] for row in rows)]))
    assert sorted(named) == sorted(set(settings(RolesRecipe, "")) - {"schema"})


def test_the_journal_line_on_the_page_has_the_fields_of_a_real_one() -> None:
    exited = events.Exited(1, exit.ExitStatus(None, "SIGKILL"))
    running, backoff = states.Running(1, 0.0, ()), states.Backoff(1.0, (1.0,), "killed")
    context = lifecycle.Context(1.0, 2, None, Restart(), 1.0, 1.0)
    step = Transition("decode-0", exited, running, backoff, context)
    line = entry.line(step, "node2", 1.0)
    assert shape(json.loads(block(JOURNAL, "journal"))) == shape(json.loads(line.text))


def test_the_journal_line_of_what_is_no_step_has_the_fields_of_a_real_one() -> None:
    facts = {"upstreams": ["router-0"], "joined": [], "left": ["router-1"]}
    line = entry.line(Happening(1.0, "nginx", 1, "Reloaded", "why", facts), "node0", 1.0)
    assert shape(json.loads(block(JOURNAL, "happening"))) == shape(json.loads(line.text))


def test_the_status_json_on_the_page_has_the_fields_of_a_real_one() -> None:
    node = Node(name="node0", address="127.0.10.1")
    plan = Plan(plan=1, name="demo", nodes=(node,), units=())
    real = status.status(plan, report(), (), 10.0, all_nodes=False, url="http://node0:8000")
    assert shape(json.loads(block(HTTP, "status"))) == shape(json.loads(typed.dumps(real)))


def test_the_http_table_has_the_routes_of_the_server() -> None:
    code = "".join(map(inspect.getsource, (server, queries, live)))
    routes = re.findall(r'web\.(get|post)\("(.+?)"', code)
    table = re.findall(r"^\| `(GET|POST) (/\S*?)` \|", HTTP.read_text("utf-8"), re.M)
    assert sorted(table) == sorted((method.upper(), path) for method, path in routes)


def settings(kind: Any, table: str) -> list[str]:
    """Dotted names of all settings of a recipe's dataclass."""
    found = []
    for field, hint in typing.get_type_hints(kind).items():
        if field.startswith("__"):
            continue
        inner = [one for one in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(one)]
        path = f"{table}.{field}".lstrip(".")
        found += settings(inner[0], path) if inner else [path]
    return found


def shape(value: Any) -> Any:
    """The keys of a JSON value, in every depth."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case [first, *_] if isinstance(first, dict):
            return [shape(first)]
        case _:
            return None


def report() -> Report:
    """A node with one worker."""
    unit = PlanUnit(
        name="prefill-0",
        kind="worker",
        node="node0",
        ports={"http": 1, "nccl": 2, "bootstrap": 3},
        command=("true",),
    )
    facts = Facts(states.Running(1, 0.0, 0), 1, 1, 1.0, 1.0, "", None)
    return Report(
        cluster="demo",
        plan="1",
        node="node0",
        address="127.0.10.1",
        sequence=1,
        at=2.0,
        ending=None,
        ends_cluster=False,
        agent=AgentReport(pid=1, guardian_pid=None, incarnation="1", version="1"),
        units=(own_report.unit_report(unit, facts),),
    )
