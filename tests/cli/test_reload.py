"""``pdsup reload``: another plan, or other agents, under units that run on."""

import contextlib
import json
from pathlib import Path

import pytest

from pdsup.answers.reload import Reloading
from pdsup.answers.status import AgentStatus, NodeStatus, Status, UnitStatus
from pdsup.cli.screens import reload
from pdsup.cli.screens.reload import Outcome, Result
from pdsup.cli.verbs import reload as verb
from pdsup.errors import InvalidDocument, NothingThere
from pdsup.node import origin
from pdsup.node.origin import Origin
from pdsup.plan.difference import Change
from pdsup.units.public_state import PublicState
from tests.bed import forks

REAL = ("-m", "pdsup", "agent")  # as users start it


@pytest.fixture
def running(agents):
    """A cluster of one node with the units ``a`` and ``b``."""
    agents.start(agents.plan(agents.unit("a"), agents.unit("b")), program=forks.guarded)
    for unit in ("a", "b"):
        agents.reaches("RUNNING", unit)
    return agents


def test_only_what_differs_begins_anew_and_that_is_told(running, pdsup):
    b = running.look("b")["pid"]
    running.plan(running.unit("a", env={"A": "1"}), running.unit("b"), running.unit("c"))
    told = ["restart  a  node0  env", "add      c  node0", "1 unit unchanged"]
    done = pdsup("reload", "--dry-run")
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, told, "")
    done = pdsup("reload")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[:3] == told
    assert sorted(lines[3:]) == ["a: restarted", "c: added"]
    assert (running.look("a")["run"], running.look("b")["pid"]) == (2, b)
    (asked,) = running.requests()
    assert asked["event"].items() >= {"verb": "reload", "tool": "pdsup reload"}.items()
    assert pdsup("reload").stdout == "the plan has not changed\n"


def test_as_json_it_is_one_value(running, pdsup):
    running.plan(running.unit("a", env={"A": "1"}))
    planned = json.loads(pdsup("reload", "--dry-run", "--json").stdout)
    done = pdsup("reload", "--json")
    assert done.returncode == 0
    value = json.loads(done.stdout)
    assert value["plan"] == planned["plan"] == json.loads(pdsup("status", "--json").stdout)["plan"]
    units = {one["unit"]: one for one in value["units"]}
    assert {name: (one["outcome"], one["ok"]) for name, one in units.items()} == {
        "a": ("restarted", True),
        "b": ("removed", True),
    }
    assert (units["a"]["run"], units["a"]["state"]) == (2, "RUNNING")
    assert (value["unchanged"], value["settings"]) == (0, [])


def test_what_does_not_work_by_the_new_plan_is_an_error(running, pdsup):
    never = {"policy": "on-failure", "max_failures": 0}
    running.plan(running.unit("a", "/no/such/program", restart=never), running.unit("b"))
    done = pdsup("reload")
    assert done.returncode == 1
    assert "a: ERROR (failed: FATAL, cannot start: /no/such/program: No such file" in done.stdout
    assert "/no/such/program" in done.stdout


def test_what_takes_too_long_is_told_and_goes_on(running, pdsup):
    running.plan(running.listener("a", delay=1000), running.unit("b"))
    done = pdsup("reload", "--timeout", "3")
    assert done.returncode == 124
    assert "a: ERROR (not restarted in time: " in done.stdout
    assert "it continues, and waits for\n  a (node0) " in done.stderr


def test_a_cluster_that_ends_meanwhile_is_not_waited_for(running, pdsup_goes_on, wait_for):
    running.plan(running.listener("a", delay=1000), running.unit("b"))
    waiting = pdsup_goes_on("reload")

    def begun():
        with contextlib.suppress(NothingThere, AttributeError):  # between two agents
            return running.look("a")["run"] == 2
        return False

    wait_for(begun)
    running.tell("node0", "/v1/shutdown", {"all": True})
    assert waiting.wait(60) == 4
    assert "cannot watch the plan change: small in " in waiting.said.read_text()


def test_a_wrong_plan_is_refused_with_its_places(running, pdsup):
    path = running.plan(running.unit("a", comand=["x"]))
    done = pdsup("reload")
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert first == f"pdsup: cannot use {path}: 1 problem"
    assert second.startswith(f"{path}:1:")
    assert "did you mean command?" in second
    assert pdsup("reload", "nowhere.yaml").returncode == 1


def test_code_and_plan_are_not_reloaded_at_once(running, pdsup):
    done = pdsup("reload", "--agent", "--dry-run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "leave out --agent" in done.stderr


def test_new_agents_take_the_places_of_those_that_are_here(running, pdsup):
    pid = running.look("a")["pid"]
    before = running.status()["node0"]["agent"]["incarnation"]
    done = pdsup("reload", "--agent", "--json")
    assert (done.returncode, done.stderr) == (0, "node0: new agent running\n")
    now = running.status()["node0"]["agent"]["incarnation"]
    assert now != before
    assert json.loads(done.stdout) == {
        "agents": [{"node": "node0", "replaced": before, "incarnation": now}]
    }
    assert running.reaches("RUNNING", "a")["pid"] == pid


def test_what_was_taken_over_and_ends_takes_nothing_of_another_run_of_the_same_name_with_it(
    agents, pdsup, tmp_path
):
    """Its orphans are anywhere, so they are looked for among all processes."""
    first, second = tmp_path / "run-1", tmp_path / "run-2"
    plan = agents.plan(agents.unit("a"))
    agents.run_dir = second
    agents.start(agents.plan(agents.unit("a", node="node1"), nodes=2, name="other.yaml"), "node1")
    other = agents.reaches("RUNNING", "a", "node1")["pid"]
    agents.run_dir = first
    agents.start(plan, program=REAL)
    agents.reaches("RUNNING", "a")
    assert pdsup("reload", "--agent", "--run-dir", str(first)).returncode == 0
    assert pdsup("stop", "a", "--run-dir", str(first)).stdout == "a: stopped\n"
    assert agents.reaches("RUNNING", "a", "node1")["pid"] == other


def change(unit="a", what="restarted", node="node0", fields=("env",)):
    return Change(unit, "service", node, what, tuple(fields))


def test_the_changes_are_a_table():
    changes = [
        change("prefill-0", fields=("command", "env")),
        change("decode-0.0", node="node12", fields=("gang",)),
        change("router-0", fields=[f"a-long-name-{index}" for index in range(9)]),
        change("nginx", "updated", fields=("nginx",)),
        change("decode-9", "added", "node1", ()),
        change("decode-1", "removed", "node2", ()),
    ]
    answer = Reloading(plan="d", units=tuple(changes), unchanged=3, settings=("on_fatal",))
    assert reload.table(answer) == [
        "restart  prefill-0   node0   command, env",
        "restart  decode-0.0  node12  gang",
        "restart  router-0    node0   a-long-name-0, a-long-name-1, a-long-na…",
        "update   nginx       node0   nginx",
        "add      decode-9    node1",
        "remove   decode-1    node2",
        "settings of the plan: on_fatal",
        "3 units unchanged",
    ]


def unit(state="RUNNING", run=2, node="node0", reason=""):
    return UnitStatus(
        name="a", kind="service", role=None, node=node, rank=None, gang=None,
        state=PublicState(state), ready=state == "RUNNING", pid=None, run=run, restarts=0,
        since=float(run), ports={}, gpus=(), reason=reason, short_reason=reason,
        last_exit=None, gpu_use=None, uptime_s=None, last_command=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("what", "before", "now", "outcome"),
    [
        ("restarted", unit(run=1), unit(run=1), None),
        ("restarted", unit(run=1), unit("STARTING"), None),
        ("restarted", unit(run=1), unit(), Outcome.DONE),
        ("restarted", unit(run=1), unit("FATAL"), Outcome.FAILED),
        ("restarted", unit("FATAL", run=1), unit("FATAL", run=1), None),
        ("restarted", unit("STOPPED", run=1), unit("STOPPED", run=1), Outcome.LEFT_DOWN),
        ("restarted", unit(run=5, node="node1"), unit(run=1), Outcome.DONE),
        ("restarted", unit("UNKNOWN"), unit("UNKNOWN"), Outcome.LEFT_UNKNOWN),
        ("restarted", unit(), unit("UNKNOWN"), None),
        ("restarted", unit(), None, None),
        ("updated", unit(), unit(), Outcome.DONE),
        ("added", None, None, None),
        ("added", None, unit("WAITING", 0), None),
        ("added", None, unit(run=1), Outcome.DONE),
        ("removed", unit(), unit("STOPPING"), None),
        ("removed", unit(), None, Outcome.DONE),
    ],
)
def test_what_became_of_a_unit_is_told_when_it_is_so(what, before, now, outcome):
    assert reload.outcome(change(what=what), before, now) == outcome


def test_a_node_whose_agent_is_late_holds_up_the_outcomes_of_no_other():
    here, there = change("a"), change("b", node="node1")
    assert reload.left((here, there), ()) == [here, there]
    assert reload.left((here, there), (), ("node1",)) == [here]
    assert reload.left((here, there), ("a",), ("node1",)) == []


def status(*nodes, plan="new"):
    """A cluster; each node is given as its name, its agent's incarnation and problem, its units."""
    agents = {
        name: AgentStatus(
            pid=1, guardian_pid=2, incarnation=incarnation, version="1", reachable=not problem,
            age_s=0.0, problem=problem,
        )
        for name, incarnation, problem, _ in nodes
    }  # fmt: skip
    told = [NodeStatus(node=n, address=n, agent=agents[n], units=units) for n, _, _, units in nodes]
    return Status(cluster="c", plan=plan, url=None, nodes=tuple(told))


A = unit("STARTING", reason="loads")


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (status(("node0", "a", None, (A,)), ("node1", "x", None, ())),
         ["a new agent on node1", "a (node0) STARTING for 5 s: loads"]),
        (status(("node0", "a", None, (A,)), ("node1", "x", "no answer", ())),
         ["a new agent on node1 (no answer)", "a (node0) STARTING for 5 s: loads"]),
        (status(("node0", "a", None, (A,)), ("node1", "b", None, ()), plan="old"),
         ["the agents to load the changed plan"]),
        (status(("node0", "a", None, (A,)), ("node1", "b", None, ())),
         ["a (node0) STARTING for 5 s: loads"]),
    ],
)  # fmt: skip
def test_a_reload_says_whom_it_waits_for(now, lines):
    before = status(("node0", "w", None, ()), ("node1", "x", None, ()), plan="old")
    answer = Reloading(plan="new", units=(change(),), unchanged=3, settings=())
    assert reload.waits_for(before, now, answer, (), 7.0) == lines
    if now.plan == "new" and now.nodes[1].agent.incarnation == "b":
        assert reload.waits_for(before, now, answer, ("a",), 7.0) == []


@pytest.mark.parametrize(
    ("what", "outcome", "before", "line"),
    [
        ("restarted", Outcome.DONE, unit(run=1), "a: restarted"),
        ("restarted", Outcome.LEFT_DOWN, unit("EXITED"), "a: left EXITED"),
        ("added", Outcome.LATE, None, "a: ERROR (not added in time: STARTING, loads)"),
        ("restarted", Outcome.FAILED, unit(), "a: ERROR (failed: STARTING, loads)"),
        ("restarted", Outcome.LEFT_UNKNOWN, unit("UNKNOWN"),
         "a: ERROR (left as it was: its node does not answer: STARTING, loads)"),
    ],
)  # fmt: skip
def test_a_result_is_good_by_its_outcome_not_by_its_words(what, outcome, before, line):
    result = Result(change(what=what), outcome, before, unit("STARTING", reason="loads"))
    assert result.line() == line
    assert result.good is ("ERROR" not in line)


RECIPE = Path(__file__).parents[2] / "configs" / "demo.yaml"


@pytest.fixture
def run(tmp_path):
    """The directory of a run of a recipe, with the text ``edited`` at the end of the recipe."""

    def made(edited=""):
        path = tmp_path / "recipe.yaml"
        path.write_text(RECIPE.read_text() + edited)
        (tmp_path / origin.FILE).write_bytes(origin.write(Origin(file=str(path))))
        return tmp_path

    return made


@pytest.mark.processes
@pytest.mark.parametrize("named", [False, True])
def test_a_reload_refuses_what_the_installed_router_refuses(run, named, tmp_path):
    directory = run("environment: {A: '1'}\n")
    recipe = directory / "recipe.yaml"
    text = recipe.read_text().replace("  type: sglang  ", "  args: {polcy: x}\n  type: sglang  ")
    (recipe if not named else tmp_path / "other.yaml").write_text(text)
    with pytest.raises(InvalidDocument) as caught:
        verb._examine(directory, str(tmp_path / "other.yaml") if named else None)
    (problem,) = caught.value.problems
    assert problem.path == "frontend.args.polcy"


def test_a_reload_warns_of_a_mistyped_flag(run, capfd):
    directory = run("      tensor-paralel-size: 2\n")
    verb._examine(directory, None)
    assert "has no flag --tensor-paralel-size" in capfd.readouterr().err


@pytest.mark.parametrize("edited", ["", "nam: x\n", "[", "plan: 1\n"])
def test_what_is_wrong_otherwise_is_left_to_the_agent(run, edited, capfd):
    verb._examine(run(edited), None)
    assert capfd.readouterr().err == ""


def test_a_run_of_unknown_origin_is_left_to_the_agent(tmp_path, capfd):
    verb._examine(tmp_path, None)
    assert capfd.readouterr().err == ""
