"""The addresses that ``pdsup up`` gives to the nodes of a recipe."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import threading

import pytest

from pdsup.cli import loopback
from pdsup.cli.loopback import Agents, alone, loopback_nodes, refuse_busy_ports
from pdsup.errors import SupervisorError
from pdsup.node.run_dir import prepare
from pdsup.plan.compile import load
from pdsup.plan.model import Node, Plan, PlanUnit


def plan_of(address: str) -> Plan:
    unit = PlanUnit(name="a", kind="service", node="n", command=("x",), ports={"http": 30080})
    return Plan(plan=1, name="p", nodes=(Node(name="n", address=address),), units=(unit,))


def test_a_block_of_addresses_where_a_port_of_the_plan_is_taken_is_passed_by() -> None:
    (free,) = loopback_nodes(plan_of("n"))
    with socket.create_server((free.address, 30080)):
        (other,) = loopback_nodes(plan_of("n"))
    assert other.address != free.address


def test_a_port_that_an_agent_will_listen_on_counts_too() -> None:
    (free,) = loopback_nodes(plan_of("n"))
    with socket.create_server((free.address, 9440)):
        (other,) = loopback_nodes(plan_of("n"))
    assert other.address != free.address


def test_nodes_are_named_in_order_and_have_addresses_of_their_own() -> None:
    nodes = tuple(Node(name=f"x{i}", address="x") for i in range(3))
    found = loopback_nodes(Plan(plan=1, name="p", nodes=nodes, units=()))
    assert [node.name for node in found] == ["node0", "node1", "node2"]
    assert len({node.address for node in found}) == 3


def test_more_nodes_than_fit_are_refused() -> None:
    nodes = tuple(Node(name=f"x{i}", address="x") for i in range(251))
    with pytest.raises(SupervisorError, match="251 nodes on one machine"):
        loopback_nodes(Plan(plan=1, name="p", nodes=nodes, units=()))


def test_a_plan_for_other_machines_is_refused_with_what_to_do() -> None:
    with pytest.raises(SupervisorError, match="give the recipe"):
        refuse_busy_ports(plan_of("192.0.2.1"))


def test_whoever_looks_for_addresses_waits_for_another_who_does():
    entered = threading.Event()

    def second() -> None:
        with alone():
            entered.set()

    waiting = threading.Thread(target=second)
    with alone():
        waiting.start()
        assert not entered.wait(0.2)
    assert entered.wait(60)
    waiting.join()


@pytest.fixture
def brought_up(agents, monkeypatch):
    """The agents of two nodes as ``pdsup up`` starts them, each with a unit that is RUNNING."""
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(name, str(agents.runtime))
    slow = ("sh", "-c", "trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.05; done")
    path = agents.plan(agents.unit("a"), agents.unit("b", *slow, node="node1"), nodes=2)
    loaded = load.load(path, nodes=None)
    prepare(agents.run_dir, loaded.text)
    made = Agents()
    made.start(loaded.plan, agents.run_dir)
    yield made
    made.stop(lambda _: None)


@pytest.mark.parametrize("asked", [False, True], ids=["up ends", "shutdown"])
def test_an_agent_started_by_hand_for_a_node_of_up_ends_in_order_and_is_waited_for(
    agents, brought_up, wait_for, asked
):
    """Its unit takes a while to stop, in which ``up`` would have killed it."""
    pid = agents.reaches("RUNNING", "b", "node1")["pid"]
    agent = agents.status("node1")["node1"]["agent"]
    os.kill(agent["guardian_pid"], signal.SIGKILL)
    os.kill(agent["pid"], signal.SIGKILL)
    wait_for(lambda: brought_up.trouble(), "the end of the guardian")
    log = agents.run_dir / "logs" / "node1_agent.out"
    assert brought_up.trouble() == f"the agent of node1 was killed by SIGKILL; its log: {log}"
    agents.start(agents.run_dir / "plan.yaml", "node1", program=("-m", "pdsup", "agent"))
    assert agents.reaches("RUNNING", "b", "node1")["pid"] == pid
    if asked:
        wait_for(lambda: agents.status(query="?all=1")["node1"]["agent"]["reachable"])
        agents.tell("node0", "/v1/shutdown", {"all": True})
        assert brought_up.wait() == 0
    brought_up.stop(lambda _: None)
    assert brought_up.wait() == 0
    assert agents.ended("node1") == {"node1": 0}
    lines = (agents.run_dir / "events" / "node1.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["to"] == "STOPPED"
    assert agents.processes_left() == []


def test_agents_that_are_refused_leave_those_alone_that_run_there(agents, brought_up):
    pids = [agents.reaches("RUNNING", "a")["pid"], agents.reaches("RUNNING", "b", "node1")["pid"]]
    refused = Agents()
    refused.start(load.load(agents.run_dir / "plan.yaml", nodes=None).plan, agents.run_dir)
    assert "one is already running" in (refused.trouble() or "")
    refused.stop(lambda _: None)
    assert [agents.look("a")["pid"], agents.look("b", "node1")["pid"]] == pids


@pytest.fixture
def log_of_agent(tmp_path, monkeypatch):
    """The log of an agent, and a function that opens it with the umask 0; returns its mode."""
    agents = Agents()
    monkeypatch.setattr(agents, "_run_dir", tmp_path)
    monkeypatch.setattr(
        loopback.subprocess, "Popen", lambda *_, stdout, **__: modes.append(mode(stdout))
    )
    log, modes = agents.log("node0"), []
    log.parent.mkdir()

    def opened():
        before = os.umask(0)
        try:
            agents._start("node0", 0o644)
        finally:
            os.umask(before)
        return modes.pop()

    return log, opened


def mode(file):
    return stat.S_IMODE(os.fstat(file.fileno()).st_mode)


def test_others_cannot_write_to_the_log_of_an_agent(log_of_agent):
    _, opened = log_of_agent
    assert opened() == 0o644


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_others_cannot_lead_the_log_of_an_agent_elsewhere(log_of_agent, tmp_path):
    log, opened = log_of_agent
    log.symlink_to(tmp_path / "elsewhere")
    os.lchown(log, 4711, 4711)
    with pytest.raises(OSError, match="a symbolic link of another user"):
        opened()
    assert not (tmp_path / "elsewhere").exists()


def test_no_named_pipe_in_the_place_of_the_log_of_an_agent_is_waited_for(log_of_agent):
    log, opened = log_of_agent
    os.mkfifo(log)
    with pytest.raises(OSError, match="No such device or address"):
        opened()
