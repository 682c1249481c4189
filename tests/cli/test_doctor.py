"""``pdsup doctor``: what it looks at, and what it makes of it."""

import errno
import json
import os
import socket
import subprocess
import sys

import pytest

from pdsup.cli import doctor, doctor_rules
from pdsup.cli.doctor_rules import Finding
from pdsup.plan.model import Node, Plan, PlanUnit

GIB = 1 << 30
ENGINE = ("python3", "-m", "sglang.launch_server")


def unit(name, command=ENGINE, node="node0", gpus=()):
    return PlanUnit(name=name, kind="worker", node=node, command=command, gpus=gpus)


def plan(*units):
    return Plan(plan=1, name="p", nodes=(Node(name="node0", address="a"),), units=units)


def test_the_programs_of_units_are_looked_for_once_each():
    units = [unit("a"), unit("b"), unit("c", ("nginx", "-g", "x")), unit("d", ("/opt/x/etcd",))]
    assert doctor_rules.programs(units) == {
        "module sglang": ["a", "b"], "nginx": ["c"], "/opt/x/etcd": ["d"],
    }  # fmt: skip


def test_a_program_that_is_missing_is_bad_and_names_who_needs_it():
    users = [f"decode-{i}" for i in range(5)]
    assert doctor_rules.needed("etcd", None, users) == Finding(
        "etcd", "bad", "not found; decode-0, decode-1, decode-2 and 2 more can't start"
    )
    assert doctor_rules.needed("etcd", "/usr/bin/etcd", users).verdict == "ok"


@pytest.mark.parametrize(
    ("hard", "verdict"), [(1024, "note"), (65535, "note"), (65536, "ok"), (float("inf"), "ok")]
)
def test_few_open_files_are_worth_a_note(hard, verdict):
    assert doctor_rules.files(1024, hard).verdict == verdict


def test_limits_and_space_are_told_in_words():
    assert doctor_rules.locked(float("inf")).detail == "unlimited"
    assert doctor_rules.locked(8 << 20) == Finding(
        "locked memory", "note", "limited to 8 MiB; RDMA needs unlimited"
    )
    assert doctor_rules.space("/x", 5 * GIB, GIB, "why") == Finding("/x", "ok", "5 GiB free")
    assert doctor_rules.space("/x", GIB // 2, GIB, "why").detail == "only 512 MiB free; why"


@pytest.mark.parametrize(
    ("allowed", "present", "verdict"),
    [(1, 64, "note"), (1, 1, "ok"), (2, 64, "ok"), (64, 64, "ok")],
)
def test_one_cpu_of_many_is_worth_a_note(allowed, present, verdict):
    assert doctor_rules.cpus(allowed, present).verdict == verdict


USUAL = "32768\t60999\n"
PORTS = {"agent control": 9440, "a http": 30000, "b http": 30032}


@pytest.mark.parametrize(
    ("kernel", "reserved", "told"),
    [
        (USUAL, "", None),
        ("", "", None),
        ("15000 60999", "\n", "30000, 30032: an outgoing connection may take a port from 15000 to"),
        ("15000 60999", "8080,30000-30100\n", None),
        ("15000 60999", "30000\n", "30032: an outgoing"),
        ("30000 30000", "", "30000: an outgoing"),
    ],
)
def test_ports_that_the_kernel_may_give_away_are_worth_a_note(kernel, reserved, told):
    found = doctor_rules.outgoing(PORTS, kernel, reserved)
    assert (found is None) == (told is None)
    if found is not None:
        assert (found.verdict, found.detail.startswith(told)) == ("note", True)


@pytest.mark.parametrize(
    ("found", "verdict"), [(None, "bad"), (0, "bad"), (7, "bad"), (8, "ok"), (16, "ok")]
)
def test_the_gpus_of_the_plan_must_be_there(found, verdict):
    units = [unit("a", gpus=(0, 1, 2, 3)), unit("b", gpus=(4, 5, 6, 7)), unit("c", node="x")]
    assert doctor_rules.gpus(plan(*units), "node0", found).verdict == verdict


def test_a_stand_in_needs_no_gpus():
    mock = ("python3", "-m", "pdsup.mock.worker")
    assert doctor_rules.gpus(plan(unit("a", mock, gpus=(0, 1))), "node0", None) is None


@pytest.mark.parametrize("width", [80, 160])
def test_what_is_bad_comes_last_where_one_looks(golden, width):
    findings = [
        Finding("nginx", "bad", "not found; nginx can't start"),
        Finding("addresses", "bad", "node3's address node3-ib0 does not resolve: [Errno -2] "
                "Name or service not known"),
        Finding("open files", "note", "1024, hard limit 1024; a busy router needs at least 65536"),
        Finding("/dev/shm", "ok", "24 GiB free"),
    ]  # fmt: skip
    golden(f"doctor-{width}", lines := doctor_rules.lines(findings, width=width))
    assert max(map(len, lines)) <= width
    coloured = doctor_rules.lines(findings, {"ok": "1", "note": "2", "bad": "3"}, width=width)
    assert [line.partition("m")[2].replace("\x1b[0m", "") or line for line in coloured] == lines


def test_a_node_that_is_fit_is_told_so(agents, pdsup):
    path = agents.plan(agents.listener("a"))
    done = pdsup("doctor", str(path), "--node", "node0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "all 2 are free" in done.stdout


def test_a_missing_program_and_a_busy_port_are_bad(agents, pdsup):
    path = agents.plan(agents.listener("a"), agents.unit("b", "no-such-program"))
    with socket.create_server((agents.addresses["node0"], 30000)):
        done = pdsup("doctor", str(path), "--node", "node0", "--json")
    assert done.returncode == 1
    bad = {one["what"]: one["detail"] for one in json.loads(done.stdout) if one["verdict"] == "bad"}
    assert bad.keys() == {"no-such-program", "ports"}
    assert "port 30000 is held by pid " in bad["ports"]
    assert bad["ports"].startswith("a http: ")


def test_a_machine_that_is_no_node_of_the_plan_gets_a_note(agents, pdsup):
    done = pdsup("doctor", str(agents.plan(agents.unit("a"))))
    assert done.returncode == 0
    assert "not a node of small" in done.stdout


def test_a_socket_path_that_the_agent_would_refuse_is_bad(agents, tmp_path):
    """The agent makes it below XDG_RUNTIME_DIR, or below TMPDIR."""
    long = tmp_path / ("x" * 90)
    long.mkdir()
    path = agents.plan(agents.unit("a"))
    for variable, other in (("XDG_RUNTIME_DIR", "TMPDIR"), ("TMPDIR", "XDG_RUNTIME_DIR")):
        env = {**agents.environ, variable: str(long)}
        env.pop(other, None)

        def pdsup(*words, env=env):
            command = [sys.executable, "-m", "pdsup", *words]
            return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

        done = pdsup("doctor", str(path), "--node", "node0", "--json")
        found = {one["what"]: one for one in json.loads(done.stdout)}
        assert (done.returncode, found["control socket"]["verdict"]) == (1, "bad")
        said = pdsup("agent", str(path), "--node", "node0")
        assert (said.returncode, said.stderr.count("\n")) == (1, 1)
        reason = found["control socket"]["detail"].partition(": ")[2]
        assert said.stderr.endswith(f": {reason}\n")


def test_a_kernel_that_refuses_pidfds_is_bad(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    found = {one.what: one for one in doctor.examine(None, None)}
    assert found["pidfd_open"].verdict == "bad"
    assert "pidfd_open is refused (Function not implemented)" in found["pidfd_open"].detail


def test_a_node_that_the_plan_lacks_is_named(agents, pdsup):
    done = pdsup("doctor", str(agents.plan(agents.unit("a"))), "--node", "node7")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "node7" in done.stderr


def test_without_a_plan_what_every_cluster_needs_is_looked_for(pdsup):
    found = {one["what"] for one in json.loads(pdsup("doctor", "--json").stdout)}
    assert found >= {"nginx", "module sglang_router", "open files", "state directory"}


def test_a_plan_that_is_wrong_is_told_as_check_does(pdsup, tmp_path):
    (tmp_path / "plan.yaml").write_text("plan: 1\n")
    done = pdsup("doctor", str(tmp_path / "plan.yaml"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "plan.yaml:1:1" in done.stderr
