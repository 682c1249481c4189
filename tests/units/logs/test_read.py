"""Reading logs while they are renamed, cut and deleted."""

import contextlib
import itertools
import os
import struct
import threading
from pathlib import Path

import pytest

from pdsup.units.logs import files
from pdsup.units.logs import read as read_module
from pdsup.units.logs.last import last_lines
from pdsup.units.logs.read import BLOCK, LogReader


@pytest.fixture
def log(tmp_path):
    return tmp_path / "a.out"


@pytest.fixture
def read():
    """Readers, closed at the end."""
    with contextlib.ExitStack() as readers:

        def begin(path, count=10**9):
            reader = readers.enter_context(contextlib.closing(LogReader(str(path))))
            reader.begin(count)
            return lambda: b"".join(piece.data for piece in reader.more()).decode()

        yield begin


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def rotate(path, keep=5):
    ages = files.ages(path.name, (entry.name for entry in path.parent.iterdir()))
    for age in files.surplus(ages, keep):
        path.with_name(files.aged(path.name, age)).unlink()
    for age, older in files.shifts(ages, keep):
        path.with_name(files.aged(path.name, age)).rename(
            path.with_name(files.aged(path.name, older))
        )


def test_what_was_appended_follows(log, read):
    log.write_text("1\n2")
    more = read(log)
    assert more() == "1\n2"
    append(log, "\n3\n")
    assert (more(), more()) == ("\n3\n", "")


def test_the_last_lines_reach_into_earlier_parts(log, read):
    for line in "12345":
        append(log, f"{line}\n")
        rotate(log)
    assert read(log, 2)() == "4\n5\n"
    append(log, "6")
    assert read(log, 3)() == "4\n5\n6"
    assert read(log, 0)() == ""
    assert read(log)() == "1\n2\n3\n4\n5\n6"


def test_a_line_that_a_rotation_cut_is_one_line(log, read):
    append(log, "1\ntwo ")
    rotate(log)
    append(log, "halves\n3\n")
    assert read(log, 2)() == "two halves\n3\n"


def test_what_was_written_before_a_rotation_is_read_before_what_came_after(log, read):
    append(log, "1\n")
    more = read(log)
    assert more() == "1\n"
    for line in "2345":
        append(log, f"{line}\n")
        rotate(log)
    append(log, "6\n")
    assert more() == "2\n3\n4\n5\n6\n"


def test_nothing_is_read_twice_when_more_was_rotated_away_than_is_kept(log, read):
    append(log, "0\n")
    rotate(log, 2)
    append(log, "1\n")
    more = read(log, 1)
    assert more() == "1\n"
    for line in "23456":
        append(log, f"{line}\n")
        rotate(log, 2)
    append(log, "7\n")
    assert more() == "2\n5\n6\n7\n"  # the others are gone


def test_a_file_that_was_deleted_and_made_again_is_read_and_the_old_parts_are_not(log, read):
    append(log, "0\n")
    rotate(log)
    append(log, "1\n")
    more = read(log, 1)
    assert more() == "1\n"
    log.unlink()
    assert more() == ""
    append(log, "2\n")
    assert more() == "2\n"


def test_a_file_that_was_cut_is_read_from_its_beginning(log, read):
    append(log, "a long line\n")
    more = read(log)
    more()
    log.write_text("new\n")
    assert more() == "new\n"


def test_between_two_renames_nothing_is_missed(log, read):
    append(log, "1\n")
    more = read(log)
    more()
    append(log, "2\n")
    log.rename(f"{log}.1")
    assert more() == "2\n"
    append(log, "3\n")
    assert more() == "3\n"


def test_the_directory_may_vanish_and_come_back(log, read):
    log = log.parent / "logs" / "a.out"
    log.parent.mkdir()
    append(log, "1\n")
    more = read(log)
    assert more() == "1\n"
    log.unlink()
    log.parent.rmdir()
    assert more() == ""
    log.parent.mkdir()
    append(log, "2\n")
    assert more() == "2\n"


def test_a_reader_keeps_up_with_a_writer_that_rotates_all_the_time(log, read):
    """Hundreds of rotations, of which all are kept: every line once, in order."""
    append(log, "0\n")
    more = read(log)
    said = []
    lines = 300

    def write():
        for line in range(1, lines):
            append(log, f"{line}\n")
            if line % 3 == 0:
                rotate(log, 500)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        said.append(more())
    writer.join()
    said.append(more())
    assert "".join(said).split() == [str(line) for line in range(lines)]
    assert read(log, 200)().split() == [str(line) for line in range(lines - 200, lines)]


def test_rotations_between_two_looks_at_the_directory_change_nothing(log, read, monkeypatch):
    lines = iter(range(200))
    for line in itertools.islice(lines, 3):
        append(log, f"{line}\n")
        rotate(log, 1000)

    class Restless(type(log)):
        def stat(self, **words):
            for line in itertools.islice(lines, 2):
                append(log, f"{line}\n")
                rotate(log, 1000)
            return super().stat(**words)

    monkeypatch.setattr(read_module, "Path", Restless)
    more = read(log)
    said = more()
    for _ in range(20):
        said += more()
    assert said == "".join(f"{line}\n" for line in range(200))


def test_reading_ends_although_the_unit_writes_faster_than_is_read(log, read, monkeypatch):
    append(log, "1\n")
    more = read(log)
    pread = os.pread

    def slowly(*words):
        append(log, "x" * 1000 + "\n")
        rotate(log)
        append(log, "x" * 1000 + "\n")
        return pread(*words)

    monkeypatch.setattr(os, "pread", slowly)
    assert more().startswith("1\n")
    assert more().count("\n") < 10


def test_a_large_log_is_not_read_to_find_its_last_lines(log, read, monkeypatch):
    with log.open("wb") as file:
        file.truncate(10 << 30)  # takes no room
        file.seek(0, os.SEEK_END)
        file.write(b"\n1\n2\n")
    got = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *words: got.append(pread(*words)) or got[-1])
    assert read(log, 2)() == "1\n2\n"
    assert sum(map(len, got)) < 3 * BLOCK


def test_a_log_that_is_a_device_has_no_end_and_is_not_read(log, read):
    log.symlink_to("/dev/full")  # reads as zeros
    assert read(log, 5)() == ""


def test_there_is_no_log_yet(log, read):
    with pytest.raises(FileNotFoundError):
        read(log)
    with pytest.raises(FileNotFoundError):
        read(log.parent / "nowhere" / "a.out")
    assert last_lines(str(log), 5) == []


def test_descriptors_are_closed(log, read):
    for line in "123":
        append(log, line)
        rotate(log)
    append(log, "4")
    before = set(map(str, Path("/proc/self/fd").iterdir()))
    assert last_lines(str(log), 1) == ["1234"]
    assert set(map(str, Path("/proc/self/fd").iterdir())) == before


def test_times_are_those_of_the_part_that_is_read(log, read):
    append(log, "1\n2\n")
    inode = log.stat().st_ino
    record = struct.Struct("<QQ")
    times = record.pack(0, 5 * 10**9) + record.pack(2, 6 * 10**9)
    log.with_name(f"a.out.{inode}.times").write_bytes(times + b"a half")
    rotate(log)
    append(log, "3\n")
    with contextlib.closing(LogReader(str(log))) as reader:
        reader.begin(2)
        first, second = reader.more()
        assert (first.data, first.offset, second.data, second.times) == (b"2\n", 2, b"3\n", None)
    with contextlib.closing(LogReader(str(log))) as reader:
        reader.begin(3)
        piece = next(reader.more())
        assert [files.arrived(piece.times, offset) for offset in (0, 2)] == [5.0, 6.0]
