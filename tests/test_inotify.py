"""What is removed from a directory, or replaced in it, is heard of."""

import contextlib
import select

import pytest

from pdsup.inotify import Removals


def heard(removals) -> bool:
    return bool(select.select([removals.fileno()], [], [], 0)[0])


@pytest.fixture
def removals():
    with contextlib.closing(Removals()) as made:
        yield made


REMOVALS = {
    "removed": lambda file: file.unlink(),
    "moved away": lambda file: file.rename(file.with_name("other")),
    "replaced": lambda file: file.with_name("new").rename(file),
    "removed with its directory": lambda file: (file.unlink(), file.parent.rmdir()),
}


@pytest.mark.parametrize("how", REMOVALS)
def test_a_removal_is_heard_of_until_it_is_taken(tmp_path, removals, how):
    directory = tmp_path / "d"
    directory.mkdir()
    file = directory / "file"
    for name in ("file", "new") if how == "replaced" else ("file",):
        (directory / name).touch()
    removals.watch(directory)
    removals.watch(directory)
    assert not heard(removals)
    file.write_text("more")
    assert not heard(removals)
    REMOVALS[how](file)
    assert heard(removals)
    removals.take()
    assert not heard(removals)
    removals.take()


def test_what_is_no_directory_is_not_watched(tmp_path, removals):
    (tmp_path / "file").touch()
    removals.watch(tmp_path / "file")
    removals.watch(tmp_path / "nothing")
    (tmp_path / "file").unlink()
    assert not heard(removals)
