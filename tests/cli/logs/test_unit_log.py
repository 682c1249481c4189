"""Where a log begins to be shown, and what is left out."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pdsup.answers.commands import LogFile
from pdsup.cli.logs.unit_log import DEFAULT, TIMES_WITHIN, UnitLog
from pdsup.units.logs import split
from pdsup.units.logs.files import TIME_RECORD, times_of

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
ACCESS = b'INFO: "GET /health HTTP/1.1" 200 OK\n'
MIB = 1 << 20


@pytest.fixture
def open_log(tmp_path, monkeypatch):
    """Makes a log of this content; returns it, and the lines that it shows."""
    monkeypatch.setenv("TZ", "UTC")
    opened = []

    def make(content, noise=False):
        path = tmp_path / "a.out"
        path.write_bytes(content)
        log = UnitLog(LogFile(path=str(path), name="a", noise=('"GET /health',)), noise=noise)
        opened.append(log)
        return log

    yield make
    for log in opened:
        log.close()


def shown(log, *, unfinished=True):
    return b"".join(line.data for line in log.lines(unfinished=unfinished))


def at(minutes, text=b"x"):
    clock = datetime.fromtimestamp(NOON + 60 * minutes, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return b"[%b] %b\n" % (clock.encode(), text)


@pytest.mark.parametrize(("noise", "lines"), [(False, b"2\n3\n"), (True, b"3\n" + ACCESS)])
def test_lines_about_probes_are_neither_counted_nor_shown(open_log, noise, lines):
    log = open_log(b"1\n2\n" + ACCESS * 3 + b"3\n" + ACCESS, noise)
    assert log.begin(2)
    assert (shown(log), log.hidden) == (lines, 0 if noise else 4)


def test_the_last_words_are_shown_behind_any_amount_of_noise(open_log):
    log = open_log(b"0\n1\n" + ACCESS * (3 * MIB // len(ACCESS)))
    assert log.begin(1)
    assert (shown(log), log.hidden) == (b"1\n", 3 * MIB // len(ACCESS))


def test_what_comes_later_follows_and_an_unfinished_line_is_shown_once(open_log):
    log = open_log(b"1\n2")
    log.begin(1)
    assert shown(log, unfinished=False) == b""
    assert shown(log) == b"2"
    with Path(log.file.path).open("ab") as file:
        file.write(b"2\n" + ACCESS + b"3\n")
    assert (shown(log), log.hidden) == (b"2\n3\n", 1)


def test_a_log_that_does_not_exist_yet_is_read_from_its_beginning_later(open_log):
    log = open_log(b"")
    Path(log.file.path).unlink()
    with pytest.raises(FileNotFoundError):
        log.begin(5)
    assert shown(log) == b""
    with Path(log.file.path).open("ab") as file:
        file.write(b"1\n2\n")
    assert shown(log) == b"1\n2\n"


TRACE = b"Traceback\n  File\n"


@pytest.mark.parametrize(
    ("since", "lines"),
    [
        (-99, at(0) + TRACE + at(5) + TRACE + at(9)),
        (4, at(5) + TRACE + at(9)),
        (5, at(5) + TRACE + at(9)),
        (6, at(9)),
        (99, b""),
    ],
)
@pytest.mark.parametrize("noise", [False, True])
def test_a_log_is_shown_since_a_time_with_what_belongs_to_its_lines(open_log, since, lines, noise):
    log = open_log(at(0) + TRACE + at(5) + TRACE + at(9), noise)
    assert log.begin(None, NOON + 60 * since)
    assert shown(log) == lines


def test_of_the_lines_since_a_time_the_last_are_shown(open_log):
    log = open_log(at(0) + at(5) + at(6) + at(9))
    log.begin(2, NOON + 60)
    assert shown(log) == at(6) + at(9)


MARKER = b"=== 2026-11-28T12:05:00Z a run 1 begins\n"


def test_a_log_without_times_is_shown_from_the_run_that_began_since_then(open_log):
    log = open_log(b"=== 2026-11-28T11:00:00Z a run 1 begins\n1\n" + MARKER + b"2\n")
    assert log.begin(None, NOON)
    assert shown(log) == MARKER + b"2\n"


@pytest.mark.parametrize("more", [0, 2 * TIMES_WITHIN])
def test_where_a_time_is_in_a_log_without_times_is_not_known(open_log, more):
    """Its last lines are better than none."""
    lines = b"y\n" * (more // 2 + DEFAULT)
    log = open_log(MARKER + b"1\n" + lines)
    assert not log.begin(None, NOON + 3600)
    assert shown(log) == b"y\n" * DEFAULT


def test_recorded_times_of_arrival_tell_where_a_time_is(open_log):
    log = open_log(b"1\n2\n3\n")
    inode = Path(log.file.path).stat().st_ino
    with Path(times_of(log.file.path, inode)).open("wb") as file:
        for offset, minute in ((0, 0), (2, 5), (4, 9)):
            file.write(TIME_RECORD.pack(offset, int((NOON + 60 * minute) * 1e9)))
    assert log.begin(None, NOON + 240)
    lines = list(log.lines(unfinished=True))
    assert [line.data for line in lines] == [b"2\n", b"3\n"]
    assert [line.at - NOON for line in lines] == [300.0, 540.0]
    assert log.begin(None, NOON + 3600)
    assert shown(log) == b""


def test_a_line_without_a_time_has_that_of_the_line_before_it(open_log):
    log = open_log(at(0) + TRACE + at(5))
    log.begin(9)
    assert [line.at - NOON for line in log.lines(unfinished=True)] == [0, 0, 0, 300]


@pytest.mark.parametrize("size", [100, MIB - 1, MIB, 9 * MIB])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"", b"\0\xff"], ids=repr)
@pytest.mark.parametrize("noise", [False, True])
def test_the_last_line_is_shown_in_few_bytes_however_much_was_written(
    open_log, monkeypatch, size, end, noise
):
    """Of a line without end its last MiB: more would be no use, and take as long as it is."""
    bar = b"step 12345 of 99999 |####      |" + end
    log, read, pread = open_log(bar * (size // len(bar)) + b"the last words", noise), [], os.pread
    monkeypatch.setattr(os, "pread", lambda *words: read.append(pread(*words)) or read[-1])
    log.begin(1)
    said = shown(log)
    assert said.endswith(b"the last words")
    assert len(said) <= split.LONGEST
    assert sum(map(len, read)) <= 2 * (split.LONGEST + split.LONGEST // 16)
