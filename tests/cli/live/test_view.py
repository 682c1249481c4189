"""What each key does in the live view."""

import pytest

from pdsup.cli.live.view import Shows, View, page, pressed
from pdsup.cli.screens import watch
from pdsup.cli.terminal.keys import Key
from pdsup.cli.terminal.lines import Size

UNITS = ["a", "b", "c"]


def after(*keys, units=UNITS):
    view = View()
    for key in keys:
        view = pressed(view, key, units)
    return view


@pytest.mark.parametrize(
    ("keys", "selected"),
    [
        ([Key.DOWN], "a"), ([Key.UP], "a"), ([Key.DOWN] * 2, "b"), ([Key.DOWN] * 9, "c"),
        ([*[Key.DOWN] * 9, Key.UP], "b"), ([*[Key.DOWN] * 2, *[Key.UP] * 9], "a"),
    ],
)  # fmt: skip
def test_arrows_select_a_unit_and_stop_at_the_ends(keys, selected):
    assert after(*keys) == View(selected=selected)


@pytest.mark.parametrize(("key", "shows"), [(Key.ENTER, Shows.EXPLANATION), (Key.LOGS, Shows.LOGS)])
def test_a_page_is_about_the_selected_unit_or_else_the_first(key, shows):
    assert after(key) == View(shows, "a")
    assert after(Key.DOWN, Key.DOWN, key) == View(shows, "b")
    assert after(Key.DOWN, key, Key.BACK) == View(Shows.UNITS, "a")
    assert after(key, units=[]) == View()


def test_arrows_scroll_an_explanation_and_leave_the_selection():
    assert after(Key.ENTER, Key.DOWN, Key.DOWN, Key.UP).top == 1
    assert after(Key.ENTER, Key.UP) == View(Shows.EXPLANATION, "a", 0)


@pytest.mark.parametrize("before", [[], [Key.ENTER], [Key.LOGS]])
def test_q_quits_from_every_page(before):
    assert pressed(after(*before), Key.QUIT, UNITS) is None


def test_a_unit_that_has_left_the_plan_is_no_longer_selected():
    assert pressed(View(selected="gone"), Key.DOWN, UNITS) == View(selected="a")
    assert pressed(View(selected="gone"), Key.ENTER, UNITS) == View(Shows.EXPLANATION, "a")


def shown(view, text, size):
    return [watch.text(line) for line in page(view, text, size)]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(Shows.EXPLANATION, "a"), ["0", "1", "2"]),
        (View(Shows.EXPLANATION, "a", 4), ["4", "5", "6"]),
        (View(Shows.EXPLANATION, "a", 99), ["7", "8", "9"]),
        (View(Shows.LOGS, "a"), ["7", "8", "9"]),
    ],
)
def test_a_page_shows_the_lines_that_fit(view, expected):
    title, empty, *lines = shown(view, [str(i) for i in range(10)], Size(80, 5))
    assert title.startswith("a: ")
    assert empty == ""
    assert lines == expected


@pytest.mark.parametrize("width", [1, 5, 80])
@pytest.mark.parametrize("height", [1, 2, 3, 24])
def test_a_page_never_overruns_the_terminal(width, height):
    lines = shown(View(Shows.LOGS, "a"), ["x" * 200] * 50, Size(width, height))
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_the_selected_unit_is_marked_and_among_the_lines(unit, node, status):
    units = [unit(f"decode-{i}") for i in range(30)]
    found = status(node("n", units))
    for name in ("decode-0", "decode-15", "decode-29"):
        lines = watch.screen(found, 0.0, Size(80, 10), "", name)
        marked = [text.strip() for line in lines for text, style in line if style == "selected"]
        assert marked == [name]
        assert len(lines) <= 10
