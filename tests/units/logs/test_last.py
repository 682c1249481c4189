"""The last words of runs, however much they wrote."""

import os

import pytest

from pdsup.units.logs import last, split
from pdsup.units.logs.last import Wanted, last_lines, of_last_run, of_runs

MIB = 1 << 20


@pytest.fixture
def log(tmp_path):
    return tmp_path / "a.out"


@pytest.fixture
def read(monkeypatch):
    """How many bytes were read, each time."""
    sizes, pread = [], os.pread

    def counted(*words):
        data = pread(*words)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    return sizes


def test_of_a_log_of_gigabytes_without_a_line_end_only_the_end_is_read(log, read):
    append(log, begins(1))
    with log.open("r+b") as file:
        file.truncate(100 << 30)  # takes no room
    append(log, b"the last words")
    assert of_last_run(str(log), 0, Wanted(9))[0].endswith("the last words")
    assert of_runs(str(log), "decode-0", [1], Wanted(9))[0][0].endswith("the last words")
    assert sum(read) <= 4 * last.AT_MOST


def begins(run, unit="decode-0"):
    return f"=== 2026-11-24T07:47:28Z {unit} run {run} begins\n".encode()


def append(path, data):
    with path.open("ab") as file:
        file.write(data)


def rotate(path):
    for age in (2, 1):
        older = path.with_name(f"{path.name}.{age}")
        if older.exists():
            older.rename(path.with_name(f"{path.name}.{age + 1}"))
    path.rename(f"{path}.1")


SIZES = [0, 100, last.EXCERPT - 1, last.EXCERPT, last.AT_MOST, 9 * MIB]
ENDS = [b"\n", b"\r\n", b"\r", b"", b"\0\xff", b"\n\n\n"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_what_a_run_wrote_last_is_shown_however_much_it_wrote(log, read, size, end):
    """In a bounded number of bytes, with any line ends or none."""
    bar = b"step 12345 of 99999 |####      |" + end
    append(log, begins(1) + b"the first run\n" + begins(2))
    start = log.stat().st_size
    append(log, bar * (size // len(bar)) + b"the last words")
    for line in (
        of_last_run(str(log), start, Wanted(200))[-1],
        of_last_run(str(log), 0, Wanted(200))[-1],
        of_runs(str(log), "decode-0", [2], Wanted(8))[0][-1],
        last_lines(str(log), 1)[-1],
    ):
        assert line.endswith("the last words")
    assert sum(read) <= 4 * (last.AT_MOST + last.EXCERPT)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("end", ENDS, ids=repr)
def test_what_earlier_runs_wrote_last_is_shown_however_much_came_after(log, read, size, end):
    bar = b"step 12345 of 99999 |####      |" + end
    append(log, begins(7) + b"before\n" + begins(8) + b"soon over")
    append(log, b"\n" + begins(9) + bar * (size // len(bar)) + b"the last words")
    runs = of_runs(str(log), "decode-0", [7, 8, 9], Wanted(8))
    assert [lines[-1][-14:] for lines in runs] == ["before", "soon over", "the last words"]
    assert sum(read) <= 2 * log.stat().st_size + 8 * last.AT_MOST


def test_the_last_words_of_a_run_are_its_own(log):
    append(log, begins(1, "one") + b"not this\n" + begins(2, "one"))
    start = log.stat().st_size
    append(log, b"1\n\n10 %\r20 %\n")
    assert of_last_run(str(log), start, Wanted(9)) == ["1", "10 %", "20 %"]
    assert of_last_run(str(log), 0, Wanted(9)) == ["1", "10 %", "20 %"]
    assert of_last_run(str(log), start, Wanted(1)) == ["20 %"]
    assert of_last_run(str(log), log.stat().st_size, Wanted(1)) == []
    rotate(log)
    append(log, b"3\n")
    assert of_last_run(str(log), 0, Wanted(9)) == ["1", "10 %", "20 %", "3"]


def test_lines_without_a_printable_character_are_no_words(log):
    append(log, b"words\n" + bytes(3000) + b"\n\x1b\n \r\r\n\t\n")
    assert of_last_run(str(log), 0, Wanted(9)) == ["words"]
    assert of_runs(str(log), "decode-0", [1], Wanted(9)) == [["words"]]


def test_a_progress_bar_is_shown_as_it_was_last(log):
    append(log, begins(1) + b"loading\n10 %\r20 %\r")
    assert of_runs(str(log), "decode-0", [1], Wanted(9)) == [["loading", "20 %"]]


ACCESS = b'INFO: "GET /health HTTP/1.1" 200\n'


@pytest.mark.parametrize("count", [5, 5_000])
def test_noise_is_left_out_unless_there_is_nothing_else(log, read, count):
    wanted = Wanted(8, split.noise(['"GET /(health|metrics)', "Invalid HTTP"]))
    append(log, begins(1) + ACCESS * 4 + begins(2) + b"words\n" + ACCESS * count)
    assert of_runs(str(log), "decode-0", [1, 2], wanted) == [
        [ACCESS.decode().strip()] * 4, ["words"],
    ]  # fmt: skip
    assert of_last_run(str(log), 0, wanted) == ["words"]
    assert sum(read) <= 5 * last.AT_MOST


def test_each_of_the_last_runs_gets_the_end_of_its_own_output(log):
    append(log, b"before any mark\n" + begins(1) + b"one\ntwo\n" + begins(2))
    append(log, begins(9, "decode-00") + b"three\n" + begins(1) + b"four\n")
    runs = [1, 2, 1]
    assert of_runs(str(log), "decode-0", runs, Wanted(1)) == [["two"], ["three"], ["four"]]
    assert of_runs(str(log), "decode-0", [1], Wanted(5)) == [["four"]]
    found = of_runs(str(log), "decode-0", [None, 2, 3, 1], Wanted(1))
    assert found == [[], ["three"], [], ["four"]]


def test_runs_in_earlier_parts_of_a_log_are_found(log):
    append(log, begins(1) + b"one\n" + begins(2) + b"two, ")
    rotate(log)
    append(log, b"the end\n")
    rotate(log)
    append(log, begins(3) + b"three\n")
    found = of_runs(str(log), "decode-0", [1, 2, 3], Wanted(5))
    assert found == [["one"], ["two, the end"], ["three"]]


def test_a_log_that_is_not_there_has_no_last_words(log):
    assert of_last_run(str(log), 0, Wanted(9)) == last_lines(str(log), 9) == []
    assert of_runs(str(log), "decode-0", [1, 2], Wanted(5)) == [[], []]
    assert of_runs(str(log), "decode-0", [], Wanted(5)) == []


def test_lines_about_probes_are_no_last_lines_unless_there_are_no_others(log):
    probes = b"GET /health 200\n" * 9000
    noise = split.noise(["GET /health"])
    append(log, b"loaded\nserving\n" + probes)
    assert last_lines(str(log), 2) == ["GET /health 200"] * 2
    assert last_lines(str(log), 2, noise) == ["loaded", "serving"]
    assert last_lines(str(log), 1, noise) == ["serving"]
    log.write_bytes(probes)
    assert last_lines(str(log), 2, noise) == ["GET /health 200"] * 2


def test_bytes_that_are_no_text_are_replaced(log):
    log.write_bytes(b"\xff\xfe\n")
    assert last_lines(str(log), 1) == ["\N{REPLACEMENT CHARACTER}" * 2]


def test_words_are_without_colours(log):
    append(log, b"\x1b[31mERROR\x1b[0m \x1b[3muri\x1b[0m=/x\n\x1b[0m\n")
    assert of_last_run(str(log), 0, Wanted(9)) == ["ERROR uri=/x"]
