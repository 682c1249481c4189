"""Which places other users may change."""

import os
from pathlib import Path

import pytest

from pdsup.node.ownership import NOBODY, risk


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (0o644, ""),
        (0o755, ""),
        (0o664, "group 4711 may write to it"),
        (0o646, "every user may write to it"),
    ],
)
def test_a_place_that_others_may_write_to_is_a_risk(tmp_path, mode, said):
    if os.geteuid():
        pytest.skip("only root can give a file to a group that is not its own")
    path = tmp_path / "recipe.yaml"
    path.write_text("")
    os.chown(path, -1, 4711)
    path.chmod(mode)
    assert risk(path) == said


def test_a_pipe_that_a_shell_made_is_no_risk(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pipe").chmod(0o666)
    assert risk(tmp_path / "pipe") == risk(Path(os.devnull)) == ""


def test_what_root_has_on_a_network_file_system_is_its_own(tmp_path):
    if os.geteuid():
        pytest.skip("only root can give a directory away")
    os.chown(tmp_path, NOBODY, NOBODY)
    assert risk(tmp_path) == ""


def test_a_group_of_the_user_alone_is_no_risk(tmp_path):
    os.chown(tmp_path, os.geteuid(), os.geteuid())
    tmp_path.chmod(0o775)
    assert risk(tmp_path) == ""


def test_a_place_of_another_user_is_a_risk_and_one_that_is_not_there_is_none(tmp_path):
    if os.geteuid():
        pytest.skip("only root can give a directory away")
    os.chown(tmp_path, 4711, -1)
    assert risk(tmp_path) == "belongs to user 4711"
    assert risk(tmp_path / "nothing") == ""
