"""What a run writes, as probes and the search for a cause see it."""

from collections import deque

import pytest

from pdsup.units.logs import read
from pdsup.units.logs.read import Follower


@pytest.fixture
def log(tmp_path):
    return tmp_path / "a.out"


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def rotate(path):
    for age in (2, 1):
        older = path.with_name(f"{path.name}.{age}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{age + 1}"))
    path.rename(f"{path}.1")


def test_lines_are_told_once_and_when_they_are_whole(log):
    append(log, "of an earlier run\n")
    one = Follower(str(log), log.stat().st_size)
    append(log, "1\n2")
    assert one.lines() == ["1"]
    assert one.lines() == []
    append(log, "2\n10 %\r20 %\n")
    assert one.lines() == ["22", "10 %", "20 %"]


def test_no_line_is_missed_when_the_log_is_rotated(log):
    append(log, "0\n")
    one = Follower(str(log), 0)
    assert one.lines() == ["0"]
    append(log, "1\nha")
    rotate(log)
    append(log, "lf\n2\n")
    rotate(log)
    append(log, "3\n")
    assert one.lines() == ["1", "half", "2", "3"]
    append(log, "4\n")
    assert one.lines() == ["4"]


def test_no_line_is_missed_when_the_log_is_rotated_before_the_first_look(log):
    append(log, "of an earlier run\n")
    one = Follower(str(log), log.stat().st_size)
    append(log, "1\n")
    rotate(log)
    append(log, "2\n")
    assert one.lines() == ["1", "2"]


def test_a_log_that_was_cut_or_replaced_is_read_from_its_beginning(log):
    append(log, "a long line\nrest")
    one = Follower(str(log), 0)
    assert one.lines() == ["a long line"]
    log.write_text("1\n")
    assert one.lines() == ["1"]
    log.rename(log.with_name("elsewhere"))
    append(log, "2\n")
    assert one.lines() == ["2"]


def test_of_a_flood_only_the_end_is_read(log, monkeypatch):
    monkeypatch.setattr(read, "MOST", 10)
    one = Follower(str(log), 0)
    append(log, "1\n" + "x" * 100 + "\n2\n")
    assert one.lines() == ["x" * 7, "2"]
    append(log, "3\n")
    assert one.lines() == ["3"]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"", b"\0\xff"], ids=repr)
def test_a_look_costs_no_more_than_what_is_new_whatever_ends_the_lines(log, monkeypatch, end):
    """However much the line holds that a unit has begun."""
    one, text = Follower(str(log), 0), b"step 12345 |####    |" + end
    log.write_bytes(b"")
    joined = []
    monkeypatch.setattr(
        read, "deque", lambda begun: joined.append(sum(map(len, begun))) or deque(begun)
    )
    for _ in range(60):
        with log.open("ab") as file:
            file.write(text * 1000)
        one.lines()
    assert max(joined) <= read.MOST_BEGUN


def test_a_line_that_does_not_end_keeps_its_beginning(log):
    one = Follower(str(log), 0)
    append(log, "server ready" + "." * 2 * read.MOST_BEGUN)
    assert one.lines() == []
    append(log, "!\n")
    (line,) = one.lines()
    assert (line[:12], line[-1], len(line)) == ("server ready", "!", read.MOST_BEGUN + 1)
