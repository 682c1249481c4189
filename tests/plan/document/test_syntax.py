"""YAML text to values with places; whatever the text, problems and never an exception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdsup.errors import Problem
from pdsup.plan.document.syntax import MAX_DEPTH, Document, parse
from pdsup.plan.document.tree import plain


def values(text: str) -> object:
    document = parse(text)
    assert document.problems == ()
    return plain(document.root)


def only_problem(text: str) -> Problem:
    (problem,) = parse(text).problems
    return problem


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: [1, 2.5, yes, ~, x]", {"a": (1, 2.5, True, None, "x")}),
        ("a: '1'", {"a": "1"}),
        ("a: 2025-01-02", {"a": "2025-01-02"}),
        ("a: 0x10", {"a": 16}),
        ("a: !!str 5", {"a": "5"}),
        ("- {b: c}", ({"b": "c"},)),
        ("", None),
        ("# nothing", None),
        ("a: |\n  b\n  c\n", {"a": "b\nc\n"}),
    ],
)
def test_text_becomes_the_values_it_stands_for(text, value):
    assert values(text) == value


def test_a_number_that_python_can_not_print_is_refused_at_its_place():
    problem = only_problem("a: 1\nb: [0x" + "F" * 390 + "]")
    assert (problem.path, problem.line, problem.message) == ("b.0", 2, "is too large")


def test_every_value_knows_the_place_of_its_key():
    root = parse("a: 1\nb:\n  c: 2\n").root
    inner = root.value["b"].value["c"]
    assert (root.value["b"].line, root.value["b"].column) == (2, 1)
    assert (inner.line, inner.column) == (3, 3)


def test_an_alias_stands_for_its_anchor():
    assert values("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_merge_key_adds_what_the_table_does_not_say_itself():
    assert values("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}")["y"] == {"a": 1, "b": 3}


def test_of_several_merged_tables_the_first_wins():
    assert values("x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}")["z"] == {"a": 1, "b": 2}


def test_a_key_that_stands_twice_is_a_problem_at_the_second():
    assert only_problem("a:\n  b: 1\n  b: 2") == Problem(
        "a.b", "is a duplicate key; it is first in line 2", 3, 3
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: [1\nb: 2", 2, 2, "not YAML"),
        ("a:\n\t- 1", 2, 1, "tabs"),
        ("a: \x07", 1, 4, "is not allowed"),
        ("a: 1\n--- \nb: 2", 2, 1, "second document"),
        ("? [a]\n: b", 1, 3, "a key must be text"),
        ("1: x", 1, 1, "put it in quotes"),
        ("yes: x", 1, 1, "put it in quotes"),
        ("a: !thing x", 1, 4, "!thing is not supported"),
        ("a: !!set {b}", 1, 4, "is not supported"),
        ("a: !!int x", 1, 4, "is not a valid int"),
        ("a: *b", 1, 4, "names no complete"),
        ("a: &a [*a]", 1, 8, "names no complete"),
        ("a: {<<: 3}", 1, 5, "<< needs a table"),
    ],
)
def test_what_can_not_be_used_is_a_problem_with_its_place(text, line, column, words):
    problem = only_problem(text)
    assert (problem.line, problem.column) == (line, column)
    assert words in problem.message


@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 100_000, "- " * 20_000, "? " * 50_000])
def test_nesting_without_end_is_a_problem_and_not_a_crash(text):
    assert str(MAX_DEPTH) in only_problem(text).message


def test_aliases_of_aliases_do_not_fill_the_memory():
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30)]
    problem = only_problem("\n".join(["l0: &l0 [x, x]", *levels]))
    assert "values" in problem.message


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_gives_values_or_problems(text):
    assert isinstance(parse(text), Document)


PIECES = ["a", ": ", ":", "- ", "[", "]", "{", "}", "&x ", "*x", "!!int ", "!t ", "'", '"', "\n"]
PIECES += ["  ", "\t", "|\n", ">", "<<: ", "---\n", "...", "%YAML 1.2\n", "# ", "? ", "~", "1", ","]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_heap_of_yaml_signs_gives_values_or_problems(text):
    assert isinstance(parse(text), Document)
