"""Which places other users may change, and that nothing in them is believed."""

import os
import re
from pathlib import Path

import pytest

from pdsup.cli.runs import living
from pdsup.node import agent_files, paths
from pdsup.node.agent_place import AgentPlace
from pdsup.node.ownership import NOBODY, risk
from pdsup.units import ledger, takeover


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


# -- whom commands believe ------------------------------------------------------------------------

SOURCE = Path(paths.__file__).parents[1]


@pytest.fixture
def noted(tmp_path, monkeypatch):
    """A run of which this process is the agent and guardian, as its node-local directory says."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    run_dir = tmp_path / "run"
    (run_dir / "agents").mkdir(parents=True)
    root = tmp_path / "pdsup"
    state_dir = Path(paths.node_dir(root, str(run_dir), "node0"))
    state_dir.mkdir(0o700, parents=True)
    (state_dir.parent / paths.RUN_LINK).symlink_to(run_dir)
    (state_dir / paths.LOCK).write_text(f"{os.getpid()}\n")
    books = ledger.LedgerFile(str(state_dir), "d" * 64, ledger.Ledger(), os.getpid())
    assert books.open()
    books.close()
    agent_files.write(
        run_dir, "node0", AgentPlace(directory=str(state_dir), host="h", boot="b", job="")
    )
    return run_dir, root, state_dir


def believed(run_dir, root, state_dir) -> dict[str, bool]:
    """Which readers of node-local directories believe that there is an agent."""
    return {
        "known": any(one.directories for one in living.known()),
        "cluster_of": bool(living.cluster_of(run_dir).directories),
        "here": bool(agent_files.here(run_dir)),
        "occupants": bool(takeover.occupants(run_dir, os.environ)),
        "left_under": ledger.left_under(root, os.getpid()) is not None,
    }


def test_an_agent_of_ones_own_is_found_by_all(noted):
    assert all(believed(*noted).values())


@pytest.mark.parametrize("level", [0, 1, 2], ids=["node", "cluster", "root"])
@pytest.mark.parametrize("how", ["group", "world", "another user", "link"])
def test_nothing_is_believed_of_a_directory_that_others_may_change(noted, level, how):
    _, root, state_dir = noted
    directory = [state_dir, state_dir.parent, root][level]
    match how:
        case "group":
            directory.chmod(0o770)
        case "world":
            directory.chmod(0o702)
        case "another user":
            if os.geteuid():
                pytest.skip("only root can give a directory away")
            os.chown(directory, 4711, -1)
        case "link":
            elsewhere = directory.rename(root.with_name("elsewhere"))
            directory.symlink_to(elsewhere)
    assert not any(believed(*noted).values())


def test_a_pipe_in_the_place_of_a_file_is_waited_for_by_none(noted):
    _, _, state_dir = noted
    for name in (ledger.LEDGER, paths.LOCK):
        (state_dir / name).unlink()
        os.mkfifo(state_dir / name)
    found = believed(*noted)
    assert not (found["occupants"] or found["left_under"])


def test_whatever_lists_node_local_directories_asks_whom_they_belong_to():
    """The agent itself makes them, and checks them as it does (``node/state_dir.py``)."""
    lists = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if re.search(r"state_roots\(|\*/{LEDGER}", path.read_text())
    }
    asks = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if re.search(r"import .*is_(private|trusted)", path.read_text())
    }
    assert lists - asks == {"node/paths.py", "node/state_dir.py"}


def test_whatever_connects_to_a_control_socket_asks_who_listens():
    connects = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if re.search(r"socket\.socket\(socket\.AF_UNIX", path.read_text())
    }
    # The last is a lock, on which nobody listens.
    assert connects == {"cli/client.py", "node/control_socket.py", "cli/loopback.py"}
    assert "control_socket.is_of_its_owner" in (SOURCE / "cli/client.py").read_text()
