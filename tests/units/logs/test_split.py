"""Lines of a log that is read block by block."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdsup.units.logs import split

TEXTS = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\n\n", b"\r", b"\0\xff"]), max_size=30)
PIECES = TEXTS.map(b"".join)


def backwards(text, size):
    return [text[max(0, end - size) : end] for end in range(len(text), 0, -size)]


@given(PIECES, st.integers(-1, 12), st.integers(1, 7))
def test_the_last_lines_are_found_whatever_the_blocks(text, count, size):
    found = split.tail_size(backwards(text, size), count)
    lines = text.split(b"\n")
    lines = [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    assert text[len(text) - found :] == b"".join(lines[-count:] if count > 0 else [])


def test_no_more_blocks_are_read_than_hold_the_lines_or_may_be_read():
    def endless(block):
        while True:
            yield block

    assert split.tail_size(endless(b"1\n2\n"), 5) == 10
    assert split.tail_size(endless(b"no end"), 5, most=1000) == 1000


@given(PIECES, st.integers(1, 7), st.integers(0, 3))
def test_lines_are_the_same_read_forwards_and_backwards(text, size, after):
    last_first = list(split.backwards(backwards(text, size), after=after))
    lines = text.removesuffix(b"\n").split(b"\n") if text else []
    assert [line.data for line in reversed(last_first)] == lines
    for line in last_first:
        assert text[len(text) + after - line.place :].startswith(line.data)
    forwards = split.Forwards()
    found = [line for block in reversed(backwards(text, size)) for line in forwards.add(block)]
    assert [line.removesuffix(b"\n") for line in (*found, forwards.rest())][: len(lines)] == lines


@given(PIECES, st.integers(1, 7), st.integers(1, 4))
def test_a_line_that_is_too_long_is_several(text, size, longest):
    found = list(split.backwards(backwards(text, size), longest))
    assert max((len(line.data) for line in found), default=0) < longest + size
    assert b"".join(line.data for line in reversed(found)) == text.replace(b"\n", b"")
    assert all(text[len(text) - line.place :].startswith(line.data) for line in found)
    empty = [line for line in text.removesuffix(b"\n").split(b"\n") if not line] if text else []
    assert len([line for line in found if not line.data]) == len(empty)


@given(st.lists(st.integers(0, 40), max_size=6), st.integers(1, 400))
def test_the_markers_of_a_unit_are_found_whatever_the_blocks(sizes, block):
    text, places = b"", []
    for run, size in enumerate(sizes):
        places.append(len(text))
        text += b"=== 2026-11-24T07:47:28Z decode-0 run %d begins\n" % run
        text += b"=== 2026-11-24T07:47:28Z decode-00 run 9 begins\n" + b"=" * size + b"\n"
    found = list(split.markers(backwards(text, block), "decode-0", after=3))
    assert [(mark.run, len(text) + 3 - mark.place) for mark in found] == [
        *reversed(list(enumerate(places)))
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"", b"\0\xff"], ids=repr)
def test_what_is_held_of_a_log_is_bounded_whatever_ends_its_lines(end):
    """So what is copied is linear: a block is joined once, with at most one line of that length."""
    block = (b"step 12345 of 99999 |####      |" + end) * 2000
    tracemalloc.start()
    try:
        for _ in split.backwards(block for _ in range(80)):
            pass
        for _ in split.markers((block for _ in range(80)), "decode-0"):
            pass
        forwards = split.Forwards()
        for _ in range(80):
            for _ in forwards.add(block):
                pass
        assert tracemalloc.get_traced_memory()[1] < 3 * split.LONGEST
    finally:
        tracemalloc.stop()
