"""A plan that is changed while its units run: only what differs restarts, or ends.

Real agents with guardians; what runs is looked at by pid.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pdsup.cli import client
from pdsup.errors import NothingThere, SupervisorError
from tests.bed import forks
from tests.bed.agents import wait_for as until

GUARDED = forks.guarded
WAITS = "waits for node1 to load the changed plan"
STUBBORN = ("sh", "-c", 'trap "" TERM; while :; do sleep 0.05; done')


@pytest.fixture
def run(agents, wait_for):
    """A run of two nodes, and what is done to its plan."""
    return Run(agents, wait_for)


class Run:
    """Plans are given as units; each is written to the file of the run."""

    def __init__(self, agents, wait_for):
        self.agents, self.wait_for = agents, wait_for

    def begin(self, *units, nodes=2) -> None:
        names = [f"node{index}" for index in range(nodes)]
        self.agents.start(self.write(*units, nodes=nodes), *names, program=GUARDED)
        for unit in units:
            self.agents.reaches("RUNNING", unit["name"], unit["node"])

    def write(self, *units, nodes=2, **settings):
        path = self.agents.plan(*units, nodes=nodes)
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
        return path

    def tell(self, node="node0", file=None, *, dry=False) -> dict:
        return self.agents.tell(node, "/v1/reload", {"plan": file, "dry_run": dry})

    def change(self, *units, node="node0", nodes=2, **settings) -> dict[str, str]:
        """Units by name, with what is done to them; every agent has the plan when it returns."""
        self.write(*units, nodes=nodes, **settings)
        answer = self.tell(node)
        self.spreads(answer["plan"], *(f"node{index}" for index in range(nodes)))
        return {one["unit"]: one["what"] for one in answer["units"]}

    def spreads(self, plan, *nodes) -> None:
        for node in nodes:
            self.wait_for(lambda: self.plan_of(node) == plan, f"the plan of {node}")  # noqa: B023

    def plan_of(self, node) -> str | None:
        report = self.report(node)
        return report and report["plan"]

    def report(self, node):
        """What a node tells the others; None while it has no agent."""
        socket = self.agents.socket(node)
        with contextlib.suppress(NothingThere):
            return socket and client.ask(socket, "/v1/report").value
        return None

    def unit(self, name, node="node0") -> dict:
        """What the agent of a node says of a unit; nothing while there is none."""
        report = self.report(node)
        return next((u for u in (report or {"units": []})["units"] if u["name"] == name), {})

    def reaches(self, state, name, node="node0", **changes) -> dict:
        """The unit as soon as it is in a state, and the rest is so."""
        wanted = {"state": state, **changes}

        def there():
            found = self.unit(name, node)
            return found if found and found.items() >= wanted.items() else None

        return self.wait_for(there, f"{name} {wanted}")

    def pid(self, name, node="node0", **changes) -> int:
        return self.reaches("RUNNING", name, node, **changes)["pid"]


def environ(pid) -> list[str]:
    """It is empty for a moment while the process executes its program."""
    path = Path(f"/proc/{pid}/environ")
    return until(path.read_text, f"the environment of {pid}").split("\0")


def test_only_what_differs_restarts(agents, run, wait_for):
    u = agents.unit
    run.begin(u("same"), u("other"), u("gone"), u("far", node="node1"))
    before = [run.pid("same"), run.pid("far", "node1")]
    gone = run.pid("gone")
    far = u("far", node="node1", restart={"policy": "never"})
    found = run.change(u("same"), u("other", env={"A": "1"}), u("new", node="node1"), far)
    assert found == {"other": "restarted", "gone": "removed", "new": "added", "far": "updated"}
    assert "A=1" in environ(run.pid("other", run=2))
    assert run.pid("new", "node1")
    assert [run.pid("same"), run.pid("far", "node1")] == before
    assert run.unit("gone") == {}
    with pytest.raises(ProcessLookupError):
        os.kill(gone, 0)
    agents.tell("node0", "/v1/shutdown", {"all": True})
    assert agents.ended("node0", "node1") == {"node0": 0, "node1": 0}
    assert agents.processes_left() == []


def test_a_plan_may_be_changed_forth_and_back_from_whatever_node(agents, run, wait_for):
    u = agents.unit
    first = (u("a"), u("b", node="node1"))
    run.begin(*first)
    a = run.pid("a")
    for number, node in enumerate(("node1", "node0", "node1"), 2):
        units = first if number == 3 else (u("a"), u("b", "sleep", "999", node="node1"))
        assert run.change(*units, node=node) == {"b": "restarted"}
        run.reaches("RUNNING", "b", "node1", run=number)
    assert run.pid("a") == a
    seen = [run.report(node)["agent"]["incarnation"] for node in ("node0", "node1")]
    assert len(run.report("node0")["former"]) == 1
    assert seen == [run.report(node)["agent"]["incarnation"] for node in ("node0", "node1")]


def test_a_dry_run_and_an_equal_plan_change_nothing(agents, run):
    run.begin(agents.unit("a"), nodes=1)
    agent = agents.status()["node0"]["agent"]["incarnation"]
    assert run.tell()["units"] == []
    run.write(agents.unit("a", env={"A": "1"}), nodes=1)
    (change,) = run.tell(dry=True)["units"]
    assert (change["unit"], change["what"], change["fields"]) == ("a", "restarted", ["env"])
    assert agents.status()["node0"]["agent"]["incarnation"] == agent
    assert agents.look("a")["run"] == 1


def test_a_hangup_reads_the_plan_again(agents, run, wait_for):
    run.begin(agents.unit("a"), nodes=1)
    run.write(agents.unit("a", env={"A": "1"}), nodes=1)
    agents.signal(signal.SIGHUP)
    run.reaches("RUNNING", "a", run=2)
    agents.signal(signal.SIGHUP)
    wait_for(lambda: "the plan has not changed" in agents.errors())


def test_what_is_wrong_with_a_plan_is_told_and_nothing_changes(agents, run):
    run.begin(agents.unit("a"), nodes=1)
    path = run.write(agents.unit("a", comand=["x"]), nodes=1)
    with pytest.raises(SupervisorError) as caught:
        run.tell()
    assert f"cannot use {path}: 1 problem" in str(caught.value)
    assert "did you mean command?" in str(caught.value)
    run.write(agents.unit("a"), nodes=1, control_port=9999)
    with pytest.raises(SupervisorError, match="its control_port is 9999, that of the run is 9440"):
        run.tell()
    run.write(agents.unit("a"), agents.unit("b"), nodes=1)
    path.chmod(0o646)
    for dry in (True, False):
        with pytest.raises(SupervisorError, match=f"{path}: every user may write to it"):
            run.tell(dry=dry)
    path.unlink()
    with pytest.raises(SupervisorError, match=f"cannot read {path}"):
        run.tell()
    assert agents.look("a")["run"] == 1


def test_another_file_can_become_that_of_the_run(agents, run, wait_for):
    run.begin(agents.unit("a"), nodes=1)
    other = agents.plan(agents.unit("a", env={"A": "1"}), name="other.yaml")
    run.tell(file=str(other))
    run.reaches("RUNNING", "a", run=2)
    assert run.tell()["units"] == []
    assert (agents.run_dir / "plan.yaml").read_bytes() == other.read_bytes()
    assert len(list(agents.run_dir.glob("plan.*.yaml"))) == 1


def test_nothing_begins_by_a_plan_that_another_node_has_not_yet(agents, run, wait_for):
    u = agents.unit
    slow = u("slow", *STUBBORN, node="node1", stop={"timeout_s": 3.0})
    run.begin(u("a"), u("b", node="node1"), slow)
    old = run.pid("a")
    run.write(u("a", env={"A": "1"}), u("b", node="node1"), u("new"))
    plan = run.tell()["plan"]
    run.spreads(plan, "node0")
    run.reaches("WAITING", "new", reason=WAITS)
    assert agents.look("a")["pid"] == old
    assert "has changed" in agents.look("a")["reason"]
    run.spreads(plan, "node1")
    run.reaches("RUNNING", "a", run=2)
    run.reaches("RUNNING", "new")


def test_an_agent_that_is_killed_over_it_is_followed_by_one_that_goes_on(agents, run, wait_for):
    u = agents.unit
    run.begin(u("a"), u("b", node="node1"), u("c", node="node1"))
    c = run.pid("c", "node1")
    run.write(u("a", env={"A": "1"}), u("b", node="node1", env={"A": "1"}), u("c", node="node1"))
    run.tell()
    for node in ("node0", "node1"):
        if report := run.report(node):  # else it is between two
            with contextlib.suppress(ProcessLookupError):
                os.kill(report["agent"]["pid"], signal.SIGKILL)
    run.reaches("RUNNING", "a", run=2)
    run.reaches("RUNNING", "b", "node1", run=2)
    assert run.pid("c", "node1") == c


def test_a_node_that_was_away_follows_when_it_is_back(agents, run, wait_for):
    u = agents.unit
    run.begin(u("a"), u("b", node="node1"))
    guardian = agents.processes["node1"].pid
    agent = agents.status("node1")["node1"]["agent"]["pid"]
    b = run.pid("b", "node1")
    os.kill(guardian, signal.SIGSTOP)
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: agents.status("node0", "?all=1")["node1"]["agent"]["problem"])
    run.write(u("a", env={"A": "1"}), u("b", node="node1", env={"A": "1"}))
    run.tell()
    run.reaches("RUNNING", "a", run=2)
    os.kill(b, 0)
    os.kill(guardian, signal.SIGCONT)
    run.reaches("RUNNING", "b", "node1", run=2)


def test_what_gave_up_is_tried_again_and_what_was_stopped_stays_so(agents, run, wait_for):
    u = agents.unit
    never = {"policy": "on-failure", "max_failures": 0}
    agents.start(
        run.write(u("broken", "false", restart=never), u("idle"), nodes=1), program=GUARDED
    )
    agents.reaches("FATAL", "broken")
    agents.tell("node0", "/v1/units", {"command": "stop", "units": ["idle"]})
    agents.reaches("STOPPED", "idle")
    run.change(u("broken", restart=never), u("idle", env={"A": "1"}), nodes=1)
    run.reaches("RUNNING", "broken")
    assert agents.look("idle")["state"] == "STOPPED"
    agents.tell("node0", "/v1/units", {"command": "start", "units": ["idle"]})
    assert "A=1" in environ(run.pid("idle"))


def test_without_a_guardian_there_is_no_change(agents, run, wait_for):
    run.begin(agents.unit("a"), agents.unit("b", node="node1"))
    os.kill(agents.processes["node1"].pid, signal.SIGKILL)
    agents.processes["node1"].wait(60)

    def noticed():
        agent = agents.status("node0", "?all=1")["node1"]["agent"]
        return agent["reachable"] and agent["guardian_pid"] is None

    wait_for(noticed)
    run.write(agents.unit("a", env={"A": "1"}), agents.unit("b", node="node1"))
    with pytest.raises(SupervisorError, match="the agent of node1 has no guardian"):
        run.tell()
    with pytest.raises(SupervisorError, match="cannot reload the agent of node1"):
        run.tell("node1")
    assert agents.look("a")["run"] == 1
    os.kill(agents.status("node1")["node1"]["agent"]["pid"], signal.SIGTERM)


def test_routers_restart_one_after_another(agents, run, wait_for):
    routers = [
        agents.listener(f"router-{index}", node, delay=0.5, kind="router", port=30000 + index)
        for index, node in enumerate(("node0", "node1", "node0"))
    ]
    run.begin(*routers)
    run.change(*({**router, "env": {"A": "1"}} for router in routers))
    for name, node in (("router-0", "node0"), ("router-1", "node1"), ("router-2", "node0")):
        run.reaches("RUNNING", name, node, run=2)
    told = [one for one in agents.journal("node0", "node1") if "to" in one]
    assert "NodeLost" not in {one["event"]["type"] for one in agents.journal("node0", "node1")}
    lines = [(one["unit"], one["run"], one["to"]) for one in told]
    steps = [one for one in lines if one[1:] in ((1, "STOPPING"), (2, "RUNNING"))]
    names = [router["name"] for router in routers]
    assert steps == [(n, *step) for n in names for step in ((1, "STOPPING"), (2, "RUNNING"))]


def test_an_agent_killed_while_it_ends_units_is_followed_by_one_that_goes_on(agents, run):
    u = agents.unit
    slow = u("slow", *STUBBORN, stop={"timeout_s": 2.0})
    run.begin(u("a"), slow, u("b", node="node1"))
    run.write(u("a", env={"A": "1"}), u("b", node="node1", env={"A": "1"}))
    run.tell()
    run.reaches("STOPPING", "slow")
    os.kill(run.report("node0")["agent"]["pid"], signal.SIGKILL)
    run.reaches("RUNNING", "a", run=2)
    run.reaches("RUNNING", "b", "node1", run=2)
    assert run.unit("slow") == {}


def test_an_agent_that_comes_late_with_the_earlier_file_takes_the_changed_plan_in(agents, run):
    u = agents.unit
    early = run.write(u("a"), u("b", node="node1")).rename(agents.directory / "early.yaml")
    agents.start(early, "node0", program=GUARDED)
    changed = run.write(u("a"), u("b", node="node1", env={"A": "1"}))
    plan = run.tell(file=str(changed))["plan"]
    run.spreads(plan, "node0")
    agents.start(early, "node1", program=GUARDED)
    run.wait_for(lambda: (found := run.unit("b", "node1")) and found["run"] == 2, "b again")
    assert "A=1" in environ(run.pid("b", "node1"))
    assert (agents.run_dir / "plan.yaml").read_bytes() == changed.read_bytes()
    assert json.loads((agents.run_dir / "origin.json").read_text())["file"] == str(changed)


def test_two_nodes_that_are_told_different_plans_at_once_agree(agents, run, wait_for):
    u = agents.unit
    run.begin(u("a"), u("b", node="node1"))
    files = {}
    for value, node in enumerate(("node0", "node1")):
        path = run.write(u("a", env={"A": str(value)}), u("b", node="node1"))
        files[node] = path.rename(agents.directory / f"{node}.yaml")
    with ThreadPoolExecutor() as pool:
        told = list(pool.map(lambda node: run.tell(node, str(files[node])), files))

    def agreed():
        plans = {run.plan_of(node) for node in files}
        return len(plans) == 1 and plans < {one["plan"] for one in told}

    wait_for(agreed, "the same plan on both nodes")


def test_units_live_on_above_which_all_else_is_killed_and_begun_with_the_earlier_file(agents, run):
    u = agents.unit
    early = run.write(u("a"), u("b"), nodes=1).rename(agents.directory / "early.yaml")
    agents.start(early, program=GUARDED)
    changed = run.write(u("a"), u("b", env={"A": "1"}), nodes=1)
    run.spreads(run.tell(file=str(changed))["plan"], "node0")
    pids = [run.pid("a"), run.pid("b", run=2)]
    for pid in (agents.processes["node0"].pid, run.report("node0")["agent"]["pid"]):
        os.kill(pid, signal.SIGKILL)
    agents.processes["node0"].wait(60)
    agents.start(early, program=GUARDED)
    assert [run.pid("a"), run.pid("b")] == pids
    assert (agents.run_dir / "plan.yaml").read_bytes() == changed.read_bytes()


def test_an_agent_that_is_one_too_many_leaves_the_plan_of_the_run_alone(agents, run):
    run.begin(agents.unit("a"), nodes=1)
    before = (agents.run_dir / "plan.yaml").read_bytes()
    other = agents.plan(agents.unit("other"), name="other.yaml")
    first = agents.processes["node0"]
    agents.start(other, program=GUARDED, wait=False)
    assert agents.processes["node0"].wait(60) != 0
    agents.processes["node0"] = first
    assert (agents.run_dir / "plan.yaml").read_bytes() == before


def test_a_node_that_was_killed_during_a_reload_keeps_what_the_new_plan_did_not_change(agents, run):
    u = agents.unit
    run.begin(u("a"), u("b", node="node1"), u("c", node="node1"), u("d", node="node1"))
    same, gone = run.pid("b", "node1"), run.pid("d", "node1")
    for pid in (agents.processes["node1"].pid, run.report("node1")["agent"]["pid"]):
        os.kill(pid, signal.SIGKILL)
    agents.processes["node1"].wait(60)
    # Its last report may be that it has lost its guardian, which lets no reload begin.
    until(lambda: not agents.status(query="?all=1")["node1"]["agent"]["reachable"])
    changed = run.write(u("a"), u("b", node="node1"), u("c", node="node1", env={"A": "1"}))
    run.spreads(run.tell()["plan"], "node0")
    agents.start(changed, "node1", program=GUARDED)
    assert "A=1" in environ(run.pid("c", "node1", run=2))
    assert (run.pid("b", "node1"), run.unit("b", "node1")["run"]) == (same, 1)
    with pytest.raises(ProcessLookupError):
        os.kill(gone, 0)
