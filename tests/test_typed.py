"""Plain values become what a model says, or every one that is wrong is told."""

import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdsup.typed import LARGEST, Record, dumps, read, show, unusable


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, kw_only=True)
class Inner:
    word: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outer:
    whole: int
    number: float = 0.5
    switch: bool = False
    word: str = "w"
    maybe: int | None = None
    choice: typing.Literal["red", "green"] = "red"
    colour: Colour = Colour.RED
    only: typing.Literal[1] | None = None
    table: Mapping[str, int] = field(default_factory=dict)
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    anything: typing.Any = None


def faults(value, kind=Outer, **options):
    """What is wrong, by dotted path."""
    made, found = read(kind, value, **options)
    assert (made is None) == bool(found)
    return {".".join(map(str, fault.path)): fault.message for fault in found}


def test_values_become_instances_all_the_way_down():
    value = {
        "whole": 2**70, "number": 1.5, "switch": True, "word": "é", "maybe": 0, "choice": "green",
        "colour": "green", "only": 1, "table": {"a": 1}, "inner": {"word": "x"},
        "several": [{"word": "y", "words": ["b", "c"]}], "anything": {"a": [None]},
    }  # fmt: skip
    inner, several = Inner(word="x"), (Inner(word="y", words=("b", "c")),)
    made, told = read(Outer, value)
    assert (made, told) == (Outer(**{**value, "inner": inner, "several": several}), ())
    assert made.colour is Colour.GREEN


def test_what_is_left_out_or_given_as_nothing_has_its_default():
    assert read(Outer, {"whole": 1, "maybe": None}) == (Outer(whole=1), ())


def test_a_whole_number_is_also_a_number():
    made, _ = read(Outer, {"whole": 1, "number": 2})
    assert (made.number, type(made.number)) == (2.0, float)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("whole", True, "must be a whole number, not true"),
        ("whole", 1.0, "must be a whole number, not 1.0"),
        ("whole", "1", 'must be a whole number, not "1"'),
        ("whole", None, "must be a whole number, not nothing"),
        ("whole", 2**1024, "is too large"),
        ("number", True, "must be a number, not true"),
        ("number", "1", 'must be a number, not "1"'),
        ("number", -(10**400), "is too large"),
        ("switch", 1, "must be true or false, not 1"),
        ("word", 1, "must be text, not 1; put it in quotes"),
        ("word", "\ud800", "contains half a character (a lone surrogate)"),
        ("maybe", "x", 'must be a whole number, not "x"'),
        ("choice", "grene", "must be one of 'red', 'green', not \"grene\"; did you mean green?"),
        ("choice", ["red"], "must be one of 'red', 'green', not a list"),
        ("colour", "blue", "must be one of 'red', 'green', not \"blue\""),
        ("colour", "RED", "must be one of 'red', 'green', not \"RED\""),
        ("colour", None, "must be one of 'red', 'green', not nothing"),
        ("only", True, "must be 1, not true"),
        ("only", 1.0, "must be 1, not 1.0"),
        ("table", [], "must be a table of settings, not a list"),
        ("inner", "x", 'must be a table of settings, not "x"'),
        ("several", {"word": "x"}, "must be a list, not a table"),
        ("several", "xx", 'must be a list, not "xx"'),
        ("later", 1, "is not a known setting"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_told_with_what_is_wanted(key, value, message):
    assert faults({"whole": 1, key: value}) == {key: message}


def test_every_fault_is_told_where_it_stands():
    value = {
        "table": {"a": 1, "b": "1"},
        "several": [{"word": "x"}, {"words": [1, "y", None], "wrod": "z"}, 5],
        "inner": {"word": 3},
    }
    assert list(faults(value)) == [
        "whole", "table.b", "inner.word", "several.1.word", "several.1.words.0",
        "several.1.words.2", "several.1.wrod", "several.2",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [None, [], "x", 1, True])
def test_what_is_no_table_at_all_is_told_without_a_path(value):
    assert list(faults(value)) == [""]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_infinity_is_a_number_unless_finite_ones_are_asked_for(value):
    assert faults({"whole": 1, "number": value}) == {}
    assert list(faults({"whole": 1, "number": value}, finite=True)) == ["number"]


def test_a_key_of_a_table_is_text_that_can_be_written():
    assert list(faults({"whole": 1, "table": {"\udfff": 1}})) == ["table.\udfff"]


@dataclass(frozen=True)
class Unheard:
    odd: set[str] = frozenset()


def test_a_model_with_another_type_is_refused():
    with pytest.raises(KeyError):
        read(Unheard, {})


class Point(Record):
    x: int
    y: int | None
    words: tuple[str, ...]


class Line(Record):
    ends: tuple[Point, ...]
    colour: Colour | None


def test_a_record_is_read_and_written_as_it_was():
    value = {"ends": [{"x": 1, "y": None, "words": ["a"]}], "colour": "red"}
    line, told = read(Line, value)
    ends = (Point(x=1, y=None, words=("a",)),)
    assert (line, told) == (Line(ends=ends, colour=Colour.RED), ())
    assert json.loads(dumps(line)) == value


def test_a_record_lacks_only_what_may_be_none_in_the_order_of_its_fields():
    assert dumps(read(Point, {"words": [], "x": 1})[0]) == '{"x": 1, "y": null, "words": []}'
    assert faults({"y": 1}, Point) == {"x": "is missing", "words": "is missing"}
    assert faults({"x": 1, "words": [], "z": 1}, Point) == {"z": "is not a known setting"}


def test_a_record_with_another_value_is_another_one_and_has_its_fields_in_order():
    point = Point(x=1, y=2, words=())
    assert point.replace(x=3) == Point(x=3, y=2, words=()) != point
    assert dumps(point.replace(x=3)) == '{"x": 3, "y": 2, "words": []}'


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*Outer.__annotations__, "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
def test_any_value_is_read_or_has_faults(value):
    for message in faults(value).values():
        assert message.isprintable()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": 1}, "a table"), ((), "a list"), ([1], "a list"), (None, "nothing"), (True, "true"),
        (1.5, "1.5"), ("é", '"é"'), ("a\u2028\x9b\ud800", '"a\\u2028\\u009b\\ud800"'),
        (2**1024, "a huge number"), ("x" * 99, '"' + "x" * 56 + "..."),
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_is_shown_short_and_printable(value, shown):
    assert show(value) == shown


@pytest.mark.parametrize("value", ["", "é🚀", LARGEST, -LARGEST, 0, True, None, 1e308], ids=repr)
def test_what_can_be_written_and_counted_is_usable(value):
    assert unusable(value) is None
    json.dumps(value).encode()
