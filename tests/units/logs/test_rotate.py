"""Moving bytes from a pipe to a log that is rotated, cut, taken away or full."""

import contextlib
import fcntl
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdsup.plan.model import Log
from pdsup.units.logs import files as files_module
from pdsup.units.logs import rotate
from pdsup.units.logs.files import TIME_RECORD, aged, times_of
from pdsup.units.logs.read import Times
from pdsup.units.logs.rotate import LogWriter

BULK = 1 << 18


class Pipe:
    """A pipe, and what moves its bytes to a log."""

    def __init__(self, path: Path, **log) -> None:
        self.path = path
        self.reading, self.writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self.reading, fcntl.F_SETPIPE_SZ, BULK)
        self.writer = LogWriter(str(path), Log(mode="pipe", **log))

    def put(self, text: str | bytes) -> "Pipe":
        data = text if isinstance(text, bytes) else text.encode()
        assert os.write(self.writing, data) == len(data)
        return self

    def move(self) -> int:
        """Moves all there is; how much that was."""
        moved = 0
        try:
            while True:
                moved += self.writer.receive(self.reading, BULK)
        except BlockingIOError:
            return moved

    def parts(self) -> list[bytes]:
        """The parts of the log, the oldest first."""
        ages = files_module.ages(self.path.name, names(self.path.parent))
        files = [aged(str(self.path), age) for age in sorted(ages, reverse=True)]
        return [Path(file).read_bytes() for file in files]

    def close(self) -> None:
        self.writer.close()
        os.close(self.reading)
        os.close(self.writing)


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def names(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir()]


@pytest.fixture
def pipe(tmp_path):
    made = []

    def make(**log):
        made.append(Pipe(tmp_path / "logs" / "a.out", **log))
        return made[-1]

    before = descriptors()
    yield make
    for one in made:
        one.close()
    assert descriptors() <= before


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    """No file that this process writes may grow beyond a size: also not what pytest writes, so
    that nothing may be reported meanwhile.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def always_look(monkeypatch):
    """The writer looks every time whether its file is still there."""
    monkeypatch.setattr(rotate, "LOOK_S", 0.0)


def test_bytes_go_to_the_end_of_the_log_and_its_directory_is_made(pipe):
    one = pipe().put("1\n").put(b"\xff\0")
    assert one.move() == 4
    one.writer.write("=== us\n")
    one.put("2\n").move()
    assert one.parts() == [b"1\n\xff\0\n=== us\n2\n"]


def test_a_line_of_ours_begins_at_the_beginning_of_a_line(pipe):
    one = pipe()
    one.writer.write("=== 1\n")
    one.put("half").move()
    one.writer.write("=== 2\n")
    one.writer.write("=== 3\n")
    assert one.parts() == [b"=== 1\nhalf\n=== 2\n=== 3\n"]


def test_a_log_that_exists_is_gone_on_with(pipe):
    pipe().put("before\n").move()
    assert pipe().put("after\n").move() == 6
    assert pipe().parts() == [b"before\nafter\n"]


# -- rotation ----------------------------------------------------------------------------------


def test_parts_end_with_lines_and_together_are_what_was_written(pipe):
    one = pipe(max_bytes=1000, keep=1000)
    text = "".join(f"{number} {'x' * (number % 70)}\n" for number in range(1000))
    for at in range(0, len(text), 7001):
        one.put(text[at : at + 7001]).move()
    parts = one.parts()
    assert b"".join(parts).decode() == text
    assert len(parts) > 20
    for part in parts[:-1]:
        assert part.endswith(b"\n")
        assert 1000 <= len(part) < 1080


def test_a_part_waits_for_the_end_of_a_line_that_comes_in_pieces(pipe):
    one = pipe(max_bytes=10)
    for piece in ("0123456789", "abc", "def\nnext", " one\nlast\n"):
        one.put(piece).move()
    assert one.parts() == [b"0123456789abcdef\n", b"next one\nlast\n"]


def test_a_line_without_end_is_cut_all_the_same(pipe):
    one = pipe(max_bytes=10)
    one.put("x" * (rotate.SLACK + 100)).move()
    assert [len(part) for part in one.parts()] == [rotate.SLACK + 10, 90]


def test_as_many_parts_are_kept_as_were_asked_for(pipe):
    one = pipe(max_bytes=2, keep=2)
    one.put("1\n2\n3\n4\n5\n").move()
    assert one.parts() == [b"3\n", b"4\n", b"5\n"]


def test_a_line_of_ours_begins_the_next_part_when_one_is_full(pipe):
    one = pipe(max_bytes=2)
    one.put("1\n").move()
    one.writer.write("=== us\n")
    assert one.parts() == [b"1\n", b"=== us\n"]


def test_a_rotation_that_is_not_possible_is_a_complaint_and_nothing_is_lost(pipe, monkeypatch):
    monkeypatch.setattr(rotate, "LOOK_S", 0.0)
    one = pipe(max_bytes=2, keep=1)
    one.put("1\n").move()
    blocked = Path(f"{one.path}.1")
    blocked.mkdir()
    assert one.put("2\n").move() == 2
    assert re.fullmatch(r"cannot rotate .*a\.out: Is a directory", one.writer.complaint)
    assert one.path.read_bytes() == b"1\n2\n"
    blocked.rmdir()
    one.put("3\n").move()
    assert (one.parts(), one.writer.complaint) == ([b"1\n2\n", b"3\n"], "")


def test_a_part_that_was_deleted_when_it_was_full_is_no_complaint(pipe):
    one = pipe(max_bytes=2)
    one.put("1\n").move()
    one.path.unlink()
    one.put("2\n").move()
    assert (one.parts(), one.writer.complaint) == ([b"2\n"], "")
    one.path.unlink()
    one.path.parent.rmdir()
    one.put("3\n").move()
    assert (one.parts(), one.writer.complaint) == ([b"3\n"], "")


# -- files that are tampered with --------------------------------------------------------------


def test_a_file_that_was_cut_is_written_from_its_new_end(pipe):
    one = pipe().put("a long line\n")
    one.move()
    one.path.write_text("cut\n")
    one.put("next\n").move()
    assert one.parts() == [b"cut\nnext\n"]


@pytest.mark.usefixtures("always_look")
def test_a_directory_that_vanished_is_made_again(pipe):
    one = pipe().put("1\n")
    one.move()
    one.path.unlink()
    one.path.parent.rmdir()
    one.put("2\n").move()
    assert one.parts() == [b"2\n"]


@pytest.mark.usefixtures("always_look")
def test_a_file_that_was_renamed_by_somebody_else_is_made_again(pipe):
    one = pipe().put("1\n")
    one.move()
    one.path.rename(f"{one.path}.old")
    one.put("2\n").move()
    assert one.path.read_bytes() == b"2\n"


# -- what can't be written ---------------------------------------------------------------------


def test_what_can_not_be_written_stays_in_the_pipe(pipe):
    one = pipe()
    one.put("1\n2\n3\n")
    with pytest.raises(OSError, match="File too large"), limited(3):
        one.move()
    assert one.move() == 3
    assert one.parts() == [b"1\n2\n3\n"]


def test_a_line_of_ours_is_written_whole_or_not_at_all(pipe):
    one = pipe().put("1\n")
    one.move()
    with pytest.raises(OSError, match="No space left"), limited(5):
        one.writer.write("=== us\n")
    assert one.parts() == [b"1\n"]


@pytest.mark.usefixtures("always_look")
def test_where_there_is_no_splice_bytes_are_copied(pipe):
    """A device stands for a file system without it."""
    one = pipe()
    one.path.parent.mkdir()
    one.path.symlink_to("/dev/full")
    one.put("1\n")
    with pytest.raises(OSError, match="No space left"):
        one.move()
    one.put("2\n")
    with pytest.raises(OSError, match="No space left"):
        one.move()
    one.path.unlink()
    assert one.move() == 4
    assert one.parts() == [b"1\n2\n"]


@pytest.mark.usefixtures("always_look")
def test_what_was_taken_for_a_copy_and_is_given_up_is_counted(pipe):
    one = pipe()
    one.path.parent.mkdir()
    one.path.symlink_to("/dev/full")
    one.put("12\n")
    with pytest.raises(OSError, match="No space left"):
        one.move()
    assert (one.writer.discard(), one.writer.discard()) == (3, 0)


# -- times -------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets, in seconds."""
    now = [0.0]
    monkeypatch.setattr(rotate.clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(rotate.clock, "wall", lambda: now[0])
    return now


def times(path: Path) -> list[tuple[int, int]]:
    found = Times(times_of(str(path), path.stat().st_ino))
    try:
        return list(found)
    finally:
        found.close()


def test_times_are_noted_before_the_bytes_to_the_millisecond(pipe, clock):
    one = pipe(timestamps=True)
    for at, text in ((1.0, "1\n"), (1.0004, "22\n"), (2.0, "3\n")):
        clock[0] = at
        one.put(text).move()
    assert times(one.path) == [(0, 10**9), (5, 2 * 10**9)]


def test_times_go_with_the_part_and_are_deleted_with_it(pipe, clock):
    one = pipe(timestamps=True, max_bytes=2, keep=1)
    for at in (1, 2, 3, 4):
        clock[0] = float(at)
        one.put(f"{at}\n").move()
    earlier = times_of(str(one.path), Path(f"{one.path}.1").stat().st_ino)
    with_times = [name for name in names(one.path.parent) if name.endswith(".times")]
    assert len(with_times) == 2
    assert Path(earlier).read_bytes() == TIME_RECORD.pack(0, 3 * 10**9)
    assert times(one.path) == [(0, 4 * 10**9)]


def test_times_of_a_part_that_was_deleted_are_not_taken_for_those_of_another(pipe, clock):
    one = pipe(timestamps=True).put("1\n")
    one.move()
    one.close = lambda: None
    one.writer.close()
    stale = times_of(str(one.path), one.path.stat().st_ino)
    one.path.write_bytes(b"")
    clock[0] = 7.0
    one.put("2\n").move()
    assert Path(stale).read_bytes() == TIME_RECORD.pack(0, 7 * 10**9)
    Pipe.close(one)


def test_half_a_record_is_written_over(pipe, clock):
    one = pipe(timestamps=True).put("1\n")
    one.move()
    with Path(times_of(str(one.path), one.path.stat().st_ino)).open("ab") as file:
        file.write(b"half")
    clock[0] = 2.0
    one.put("2\n").move()
    assert times(one.path) == [(0, 0), (2, 2 * 10**9)]
