"""A file of lines and its copy without a name, which outlives the file and whoever writes it."""

import os

import pytest

from pdsup import lines_file
from pdsup.descriptor import Descriptor
from pdsup.lines_file import LinesFile, read_copy


@pytest.fixture
def copy():
    descriptor = os.memfd_create("copy")
    yield descriptor
    os.close(descriptor)


def made(path, copy, *lines):
    file = LinesFile(path, Descriptor(copy))
    assert file.write(b"one\n", {"of": "x"})
    for line in lines:
        file.append(line)
    return file


def test_the_copy_has_every_line_and_what_it_is_about(tmp_path, copy):
    file = made(tmp_path / "f", copy, b"two\n", b"three\n")
    assert (tmp_path / "f").read_bytes() == b"one\ntwo\nthree\n"
    about, lines = read_copy(copy)
    assert (about["of"], lines) == ("x", [b"one", b"two", b"three"])
    assert file.write(b"new\n", {"of": "y"})
    file.append(b"more\n")
    about, lines = read_copy(copy)
    assert (about["of"], lines) == ("y", [b"new", b"more"])


def test_the_copy_goes_on_where_the_file_can_not(tmp_path, copy, monkeypatch):
    file = made(tmp_path / "f", copy)
    write = os.write

    def full(descriptor, data):
        return write(descriptor, data if descriptor == copy else data[:1])

    monkeypatch.setattr(lines_file.os, "write", full)
    file.append(b"two\n")
    assert not file.is_sound
    assert read_copy(copy)[1] == [b"one", b"two"]


def test_a_copy_whose_writer_was_killed_while_it_wrote_it_anew_is_none(tmp_path, copy):
    assert read_copy(copy) is None
    assert read_copy(-1) is None
    made(tmp_path / "f", copy)
    os.ftruncate(copy, os.fstat(copy).st_size - 1)
    assert read_copy(copy) is None


@pytest.mark.parametrize("text", [b"5\n", b"{}\n", b'{"bytes": "x"}\n', b"\xff\n", b"[" * 9])
def test_a_copy_of_something_else_is_none(copy, text):
    os.write(copy, text)
    assert read_copy(copy) is None


def test_a_file_that_was_removed_or_replaced_is_not_there(tmp_path):
    path = tmp_path / "f"
    file = LinesFile(path)
    assert not file.is_there
    file.write(b"", {})
    assert file.is_there
    path.rename(tmp_path / "g")
    assert not file.is_there
    path.touch()
    assert not file.is_there
