"""Files that are written whole or not at all."""

import os
import stat

import pytest

from pdsup import files
from pdsup.files import make_directory, open_regular


def test_a_write_that_fails_leaves_nothing_aside(tmp_path):
    (tmp_path / "target").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write_atomically(tmp_path / "target", b"text", 0o644)
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


def test_a_write_gives_the_file_the_mode_that_was_asked_for(tmp_path):
    files.write_atomically(tmp_path / "file", b"text", 0o640)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("umask", [0o027, 0o077], ids=oct)
@pytest.mark.parametrize("write", [files.write_atomically, files.write_if_different])
def test_a_write_keeps_from_others_what_the_users_umask_does(tmp_path, umask, write):
    before = os.umask(umask)
    try:
        write(tmp_path / "file", b"text", 0o644)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644 & ~umask


def test_a_file_that_is_there_is_not_made_again(tmp_path):
    for text in (b"first", b"second"):
        files.create_once(tmp_path / "file", text)
    assert (tmp_path / "file").read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_reader_of_the_old_file_keeps_it(tmp_path):
    path = tmp_path / "file"
    files.write_atomically(path, b"old", 0o644)
    with path.open("rb") as reader:
        files.write_atomically(path, b"new", 0o644)
        assert (reader.read(), path.read_bytes()) == (b"old", b"new")


def test_an_output_goes_to_where_a_link_points_and_into_a_pipe_that_is_there(tmp_path):
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "file")
    files.write_output(link, b"text")
    assert ((tmp_path / "file").read_bytes(), link.is_symlink()) == (b"text", True)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write_output(pipe, b"text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)


@pytest.mark.parametrize("kind", ["a named pipe", "a directory", "a device"])
def test_only_regular_files_are_read_and_nothing_is_waited_for(tmp_path, kind):
    path = tmp_path / "file"
    match kind:
        case "a named pipe":
            os.mkfifo(path)
        case "a directory":
            path.mkdir()
        case "a device":
            path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        files.read_regular(path)


@pytest.mark.parametrize("kind", ["a named pipe", "a directory", "a file", "nothing"])
def test_what_is_of_another_kind_makes_way(tmp_path, kind):
    path = tmp_path / "thing"
    for for_directory in (False, True):
        match kind:
            case "a named pipe":
                os.mkfifo(path)
            case "a directory":
                path.mkdir(exist_ok=True)
            case "a file":
                path.touch()
        files.make_way(path, for_directory=for_directory)
        kept = {"a directory": for_directory, "a file": not for_directory}.get(kind, False)
        assert path.exists() == kept


@pytest.fixture
def linked(tmp_path):
    """A link, the path to it, and what it leads to."""
    secret, link = tmp_path / "secret", tmp_path / "logs" / "log"
    link.parent.mkdir()
    secret.write_text("kept\n")
    link.symlink_to("../secret")
    return link, secret


@pytest.mark.parametrize("flags", [os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_TRUNC])
def test_nothing_is_written_through_a_link_of_another_user(linked, flags):
    if os.geteuid():
        pytest.skip("only root can give a link away")
    link, secret = linked
    os.lchown(link, 4711, -1)
    with pytest.raises(OSError, match="a symbolic link of another user"):
        open_regular(link, flags)
    beside = link.with_name("beside")
    beside.symlink_to(link)
    with pytest.raises(OSError, match="a symbolic link of another user"):
        open_regular(beside, flags)
    assert secret.read_text() == "kept\n"
    os.close(open_regular(link, os.O_RDONLY))


def test_links_of_the_user_are_followed(linked, tmp_path):
    link, secret = linked
    other = tmp_path / "other"
    other.symlink_to(tmp_path / "logs")
    for path in (link, other / "log"):
        with os.fdopen(open_regular(path, os.O_WRONLY | os.O_APPEND), "wb") as file:
            file.write(b"more\n")
    assert secret.read_text() == "kept\nmore\nmore\n"
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(OSError, match="Too many levels"):
        open_regular(link, os.O_WRONLY)


@pytest.mark.parametrize("umask", [0o000, 0o002])
def test_a_directory_that_is_made_is_for_its_owner_to_write_to(tmp_path, umask):
    before = os.umask(umask)
    try:
        make_directory(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    for path in ("a", "a/b", "a/b/c"):
        assert (tmp_path / path).stat().st_mode & 0o777 == 0o755
    make_directory(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        make_directory(tmp_path / "file")


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC])
@pytest.mark.parametrize("to", ["secret", "nothing", ".", "pipe", "/dev/zero", "/dev/tty"])
def test_where_a_unit_could_put_a_link_none_is_followed_but_to_a_sink(tmp_path, flags, to):
    (tmp_path / "secret").write_text("secret")
    os.mkfifo(tmp_path / "pipe")
    link = tmp_path / "log"
    link.symlink_to(to)
    for sinks in (False, True):
        with pytest.raises(OSError, match="it is a symbolic link"):
            open_regular(link, flags | os.O_NOFOLLOW, sinks=sinks)
    assert (tmp_path / "secret").read_text() == "secret"
    assert not (tmp_path / "nothing").exists()
    link.unlink()
    link.symlink_to("/dev/full")
    os.close(open_regular(link, flags | os.O_NOFOLLOW, sinks=True))
