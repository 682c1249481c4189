"""Which agents of this user there are on this machine, and whom a command trusts."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from pdsup.cli import client
from pdsup.cli.runs import living
from pdsup.errors import NothingThere
from pdsup.node import agent_files, control_socket, paths
from pdsup.node.agent_place import AgentPlace


def noted(run_dir, node, directory):
    place = AgentPlace(directory=str(directory), host="here", boot="now")
    agent_files.write(run_dir, node, place)


@pytest.fixture
def another_user(monkeypatch):
    """This command is that of another user, who made nothing of what is there."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)


def test_no_cluster_is_found_where_there_is_none(home):
    assert living.clusters() == []


def test_agents_of_one_run_are_one_cluster_in_natural_order(agent, home):
    for node in ("node10", "node2", "node1"):
        agent(node)
    (found,) = living.clusters()
    assert list(found.sockets) == ["node1", "node2", "node10"]
    assert found.run_dir == str(home.parent / "run")


def test_a_node_whose_new_agent_has_no_socket_yet_is_known_and_silent(agent):
    agent("node0")
    agent("node1", listens=False).unlink()
    (found,) = living.clusters()
    assert found.silent == {"node1"}


def test_sockets_that_killed_agents_left_are_no_agents(agent):
    agent("node0", listens=False)
    agent("node1")
    agent("node0", run="older", listens=False)
    assert [list(one.sockets) for one in living.clusters()] == [["node1"]]


def test_other_things_in_the_directory_are_passed_over(agent, home):
    agent()
    (home / "a-file").touch()
    (home / "empty").mkdir()
    (home / "broken").symlink_to("nowhere")
    assert len(living.clusters()) == 1


def test_a_cluster_that_vanishes_while_it_is_looked_at_is_passed_over(agent, monkeypatch):
    path = agent()
    real = control_socket.answers

    def answers_and_vanishes(found):
        (path.parent.parent / paths.RUN_LINK).unlink(missing_ok=True)
        return real(found)

    monkeypatch.setattr(control_socket, "answers", answers_and_vanishes)
    assert living.clusters() == []


def test_runs_come_in_the_order_in_which_they_were_started(agent, home):
    for number, run in enumerate(("b", "c", "a")):
        link = agent(run=run).parent.parent / paths.RUN_LINK
        os.utime(link, (number, number), follow_symlinks=False)
    runs = [Path(one.run_dir).name for one in living.clusters()]
    assert runs == ["b", "c", "a"]


# -- the run directory says where the agents are --------------------------------------------------


@pytest.fixture
def short(tmp_path):
    """A short path of the test's directory, as that of a socket may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="pd", dir="/tmp") as directory:
        link = Path(directory, "t")
        link.symlink_to(tmp_path)
        yield link


def test_agents_are_found_through_the_run_directory_whatever_the_environment_says(
    agent, home, short, monkeypatch
):
    run_dir, socket_path = home.parent / "run", short / agent("node0")
    noted(run_dir, "node0", socket_path.parent)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    assert living.clusters() == []
    assert living.cluster_of(run_dir).sockets == {"node0": socket_path}


@pytest.mark.parametrize("length", [100, 5000])
def test_no_agent_listens_at_a_path_that_is_too_long_for_a_socket(home, length):
    noted(home.parent, "node0", home.parent / ("x" * length))
    assert living.cluster_of(home.parent).sockets == {}


def test_an_agent_that_was_killed_is_known_through_the_run_directory(agent, home, monkeypatch):
    run_dir, directory = home.parent / "run", agent("node0", listens=False).parent.absolute()
    noted(run_dir, "node0", directory)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    found = living.cluster_of(run_dir)
    assert (found.sockets, found.silent) == ({}, {"node0"})
    assert found.directories == {"node0": directory}


@pytest.mark.parametrize(
    "wrong", ["another node", "another run", "missing", "open to all", "a link", "half a file"]
)
def test_a_note_that_is_not_to_be_trusted_leads_nowhere(agent, home, monkeypatch, wrong):
    run_dir, directory = home.parent / "run", agent("node0").parent.absolute()
    node = "node1" if wrong == "another node" else "node0"
    match wrong:
        case "another run":
            directory = agent("node0", run="other").parent.absolute()
        case "missing":
            directory = directory / "missing"
        case "open to all":
            directory.chmod(0o777)
        case "a link":
            link = home.parent / "elsewhere" / "cluster"
            link.parent.mkdir()
            link.symlink_to(directory.parent)
            directory = link / "node0"
    noted(run_dir, node, directory)
    if wrong == "half a file":
        (run_dir / "agents" / "node0.json").write_text('{"directory": "/')
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    assert living.cluster_of(run_dir).directories == {}


def test_a_note_that_is_no_regular_file_is_passed_over(agent, home, monkeypatch):
    """Nobody would ever write into this pipe."""
    agent("node0")
    (home.parent / "run" / "agents").mkdir()
    os.mkfifo(home.parent / "run" / "agents" / "node0.json")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    assert living.cluster_of(home.parent / "run").sockets == {}


# -- whom a command trusts ------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["root", "cluster", "node"])
@pytest.mark.parametrize("mode", [0o770, 0o702], ids=oct)
def test_directories_that_others_may_change_are_passed_over(agent, home, which, mode):
    node = agent().parent
    {"root": home, "cluster": node.parent, "node": node}[which].chmod(mode)
    assert living.clusters() == []


@pytest.mark.parametrize("which", ["root", "cluster", "node"])
def test_links_in_the_place_of_directories_are_passed_over(agent, home, which):
    node = agent().parent
    path = {"root": home, "cluster": node.parent, "node": node}[which]
    path.rename(home.parent / "moved")
    path.symlink_to(home.parent / "moved")
    assert living.clusters() == []


@pytest.mark.usefixtures("another_user")
def test_agents_of_other_users_are_passed_over(agent):
    agent()
    assert living.clusters() == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_root_may_ask_the_agents_of_a_run_that_it_names_and_of_no_other(agent, home, monkeypatch):
    run_dir, node = home.parent / "run", agent("node0").parent.absolute()
    noted(run_dir, "node0", node)
    for path in (run_dir, home, node.parent, node):
        os.chown(path, 1234, 1234)
    assert living.clusters() == []
    found = living.cluster_of(run_dir)
    assert found.directories == {"node0": node}
    os.chown(run_dir, 4321, 4321)
    assert living.cluster_of(run_dir).directories == {}


def test_a_socket_on_which_another_user_listens_answers_nothing(agent, monkeypatch):
    path = agent()
    monkeypatch.setattr(control_socket, "_owns", lambda *_: False)
    assert not control_socket.answers(path)
    with pytest.raises(NothingThere, match="another user's process listens on its socket"):
        client.ask(path, "/v1/status")


def test_the_owner_of_a_listener_is_that_of_its_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as connection:
        server.bind("a.sock")
        server.listen()
        connection.connect("a.sock")
        assert control_socket.is_of_its_owner(connection, tmp_path / "a.sock")
        if os.getuid() == 0:
            os.chown(tmp_path, 1234, 1234)
            assert not control_socket.is_of_its_owner(connection, tmp_path / "a.sock")
