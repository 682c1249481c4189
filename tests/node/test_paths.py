"""Where the node-local things lie."""

from pathlib import PurePath

from pdsup.node.paths import cluster_id, node_dir, state_roots


def test_the_users_runtime_directory_is_preferred():
    roots = state_roots({"XDG_RUNTIME_DIR": "/run/user/7"}, "/tmp", 7)
    assert roots == (PurePath("/run/user/7/pdsup"), PurePath("/tmp/pdsup-7"))


def test_without_one_it_is_the_users_own_place_among_temporary_files():
    for environ in ({}, {"XDG_RUNTIME_DIR": ""}):
        assert state_roots(environ, "/var/tmp", 7) == (PurePath("/var/tmp/pdsup-7"),)


def test_every_node_of_a_run_finds_the_same_cluster():
    one, other = (node_dir(PurePath("/tmp/p"), "/runs/a", node) for node in ("n0", "n1"))
    assert one.parent == other.parent
    assert (one.name, other.name) == ("n0", "n1")


def test_two_runs_are_two_clusters():
    assert cluster_id("/runs/a") != cluster_id("/runs/b")


def test_the_socket_of_a_usual_node_fits_into_the_kernels_limit():
    path = node_dir(PurePath("/run/user/1234567890/pdsup"), "/runs/" + "x" * 500, "n" * 40)
    assert len(str(path / "control.sock")) <= 107
