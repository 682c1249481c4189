"""Places of problems, and overrides."""

import pytest

from pdsup.errors import Problem
from pdsup.plan.document.syntax import parse
from pdsup.plan.document.tree import locate, override, plain

TEXT = "a:\n  b: 1\n  c: [x, {d: 2}]\ne.f: 3\n"


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ("a.b", 2, 3),
        ("a.c.1.d", 3, 11),
        ("a.missing.deep", 1, 1),
        ("a.c.9", 3, 3),
        ("e.f", 4, 1),
        ("", 1, 1),
    ],
)
def test_a_problem_is_placed_at_its_key_or_the_nearest_table(path, line, column):
    found = locate(parse(TEXT).root, Problem(path, "wrong"))
    assert (found.line, found.column) == (line, column)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("a.b=2", {"a": {"b": 2}}),
        ("a.b=true", {"a": {"b": True}}),
        ("a.b='2'", {"a": {"b": "2"}}),
        ("a.b=[1, 2]", {"a": {"b": (1, 2)}}),
        ("a.b=", {"a": {"b": None}}),
        ("a.c=x=y", {"a": {"b": 1, "c": "x=y"}}),
        ("n.e.w=1", {"a": {"b": 1}, "n": {"e": {"w": 1}}}),
    ],
)
def test_an_override_changes_one_setting_and_reads_its_value_as_yaml(setting, value):
    root, problems = override(parse("a: {b: 1}").root, setting)
    assert problems == ()
    assert plain(root) == value


@pytest.mark.parametrize(
    "setting", ["a.b", "=1", "a..b=1", ".a=1", "a.b=[1", "a.b.c=1", "a=&x [*x]"]
)
def test_an_override_that_can_not_be_is_a_problem_that_names_it(setting):
    root = parse("a: {b: 1}").root
    after, (problem,) = override(root, setting)
    assert after == root
    assert problem.setting == setting
    assert problem.at("f.yaml").startswith(f"--set {setting}: ")


def test_an_override_can_not_nest_without_end():
    root = parse("a: 1").root
    assert override(root, ".".join("b" * 500) + "=1")[1]
    assert override(root, "b.c=" + "[" * 64 + "]" * 64)[1]


def test_a_problem_of_an_overridden_setting_names_the_override():
    root, _ = override(parse("a: {b: 1}\nc: 2").root, "c={d: 3}")
    found = locate(root, Problem("c.d", "wrong"))
    assert found == Problem("c.d", "wrong", 2, 1, "c={d: 3}")
    assert found.at("f.yaml") == "--set c={d: 3}: c.d: wrong"


def test_a_problem_of_any_override_is_one_short_printable_line():
    for setting in ("a" * 200_000, "a=\x1b[2J\n", "a=\udcff"):
        line = Problem("a", "wrong", setting=setting).at("f.yaml")
        assert len(line) < 300
        assert line.isprintable()
