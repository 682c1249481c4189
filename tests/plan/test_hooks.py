"""Hooks of a plan or a recipe: what they may be, and that nobody is shown their secrets."""

import json

import pytest
import yaml

from pdsup.cli.screens import plan
from pdsup.plan import hooks
from pdsup.plan.model import Hook
from pdsup.plan.recipe.unused import notes
from tests.plan.recipes import GOOD

SECRET = "https://user:s3cret@hooks.example.com:8443/services/T0S3CRET?key=s3cret"
PLAN = {
    "plan": 1, "name": "small", "nodes": [{"name": "a", "address": "127.0.0.1"}],
    "units": [{"name": "x", "kind": "service", "node": "a", "command": ["sleep", "9"]}],
}  # fmt: skip


def with_hook(**hook):
    return yaml.safe_dump({**PLAN, "hooks": [{"events": ["fatal"], **hook}]}, sort_keys=False)


@pytest.mark.parametrize(
    "hook",
    [
        {"command": ["./tell.sh", "{run_dir}"]},
        {"url": "http://127.0.0.1:9000"},
        {"url": SECRET, "events": ["restart", "node-lost"], "timeout_s": 0.5},
        {"url_env": "PAGER_URL"},
    ],
)
def test_a_hook_has_one_way_to_tell(desk, hook):
    (found,) = desk.plan(with_hook(**hook)).hooks
    assert found == Hook(**{"events": ("fatal",), **{k: tupled(v) for k, v in hook.items()}})


def tupled(value):
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("hook", "at", "words"),
    [
        ({}, "hooks.0", "takes one of command, url, url_env, and has none"),
        ({"url": "http://a", "command": ["b"]}, "hooks.0", "not command and url"),
        ({"command": ["b"], "events": []}, "hooks.0.events", "is empty"),
        ({"command": ["b"], "events": ["down", "down"]}, "hooks.0.events.1", "is a duplicate"),
        ({"command": ["b"], "events": ["fatl"]}, "hooks.0.events.0", "did you mean fatal?"),
        ({"command": ["b"], "events": "fatal"}, "hooks.0.events", "must be a list"),
        ({"command": ["b"], "timeout_s": 0}, "hooks.0.timeout_s", "more than 0"),
        ({"command": ["b"], "timeout_s": 601}, "hooks.0.timeout_s", "must be at most 600, not 601"),
        ({"command": ["b"], "timeout_s": float("nan")}, "hooks.0.timeout_s", "must be a number"),
        ({"command": ["b"], "timout_s": 3}, "hooks.0.timout_s", "did you mean timeout_s?"),
        ({"command": [""]}, "hooks.0.command", "names no program"),
        ({"command": ["a", "b\0"]}, "hooks.0.command", "NUL"),
        ({"url": "ftp://host/x"}, "hooks.0.url", "must be a URL such as https://host/path"),
        ({"url": "http://"}, "hooks.0.url", "must be a URL"),
        ({"url": "http://host:0/"}, "hooks.0.url", "must be a URL"),
        ({"url": "http://host:x/"}, "hooks.0.url", "must be a URL"),
        ({"url": "http://ho st/"}, "hooks.0.url", "must be a URL"),
        ({"url": "http://[::1/"}, "hooks.0.url", "must be a URL"),
        ({"url_env": "A B"}, "hooks.0.url_env", "the name of an environment variable"),
    ],
)
def test_a_hook_that_can_not_work_is_refused_at_its_place(desk, hook, at, words):
    problem = desk.problem(with_hook(**hook))
    assert problem.path == at
    assert words in problem.message


def test_a_wrong_hook_hides_no_problem_of_a_unit(desk):
    text = with_hook(command=["b"], events=["x"]).replace("name: x", "name: no/good")
    assert [problem.path for problem in desk.problems(text)] == [
        "units.0.name", "hooks.0.events.0",
    ]  # fmt: skip


def test_a_wrong_hook_hides_no_problem_of_another(desk):
    hooks = [{"events": ["x"], "command": ["b"]}, {"events": [], "command": ["b"]},
             {"event": ["fatal"]}, {"events": ["down"], "url": "b", "colour": "red"}]  # fmt: skip
    text = yaml.safe_dump({**PLAN, "hooks": hooks}, sort_keys=False)
    assert {problem.path for problem in desk.problems(text)} == {
        "hooks.0.events.0", "hooks.1.events", "hooks.2.events", "hooks.2.event", "hooks.3.url",
        "hooks.3.colour",
    }  # fmt: skip


@pytest.mark.parametrize("hooks", [None, "x", {"events": ["fatal"]}, [3]])
def test_hooks_that_are_no_list_of_tables_are_refused(desk, hooks):
    text = yaml.safe_dump({**PLAN, "hooks": hooks}, sort_keys=False)
    (problem,) = desk.problems(text.replace("name: x", "name: no/good"))[-1:]
    assert problem.path.startswith("hooks")
    assert "must be a" in problem.message


def test_a_recipe_has_hooks_as_its_plan_has_them_and_a_wrong_one_is_found_there(desk):
    recipe = {**yaml.safe_load(GOOD), "hooks": [{"events": ["fatal"], "command": ["b"]}]}
    assert desk.load(yaml.safe_dump(recipe)).plan.hooks == (
        Hook(events=("fatal",), command=("b",)),
    )
    recipe["hooks"][0]["url"] = "http://a"
    assert [one.path for one in desk.problems(yaml.safe_dump(recipe))] == ["hooks.0"]


def test_an_explanation_tells_who_is_told_of_what_and_no_secret(desk):
    told = [{"events": ["fatal", "node-lost"], "url": SECRET},
            {"events": ["down"], "command": ["curl", "-d@-", SECRET], "timeout_s": 3},
            {"events": ["ready"], "url_env": "PAGER_URL"}]  # fmt: skip
    recipe = {**yaml.safe_load(GOOD), "hooks": told}
    loaded = desk.load(yaml.safe_dump(recipe))
    lines = plan.explain(loaded.plan, notes(loaded.recipe))
    start = lines.index("Hooks:")
    assert lines[start + 1 : start + 4] == [
        "  fatal, node-lost: post to https://hooks.example.com:8443/..., timeout 10 s",
        "  down: run curl -d@- https://hooks.example.com:8443/..., timeout 3 s",
        "  ready: post to the URL in $PAGER_URL, timeout 10 s",
    ]
    values = plan.explanation(loaded.plan, notes(loaded.recipe))
    assert "3cret" not in repr(values).lower()
    assert json.dumps(lines).lower().count("s3cret") == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no URL here", "no URL here"),
        ("http://host", "http://host"),
        ("a http://u:p@host/x?y=z b", "a http://host/... b"),
        ("http://u:p@ss@host", "http://host"),
        ("wss://host?token=1", "wss://host/..."),
        ("'http://host/x' and https://t@b", "'http://host/...' and https://b"),
    ],
)
def test_of_a_url_only_where_it_leads_is_shown(text, expected):
    assert hooks.masked(text) == expected
