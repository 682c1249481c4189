"""The status JSON, which others than us read too."""

import dataclasses
import json

import pytest

from pdsup import typed
from pdsup.answers.status import AgentStatus, NodeStatus, Status, UnitStatus
from pdsup.api import status as status_module
from pdsup.cluster.report import ExitReport, Peer
from pdsup.units.process.gpu import Gpu

NOW = 1000.0
# The contract, and what we say beyond it.
TOP = {"cluster", "plan", "nodes"} | {"url"}
NODE = {"node", "address", "agent", "units"}
AGENT = {"pid", "guardian_pid", "incarnation", "version", "reachable", "age_s"} | {"problem"}
UNIT = {
    "name", "kind", "role", "node", "rank", "gang", "state", "ready", "pid", "run", "restarts",
    "since", "uptime_s", "ports", "gpus", "reason", "last_exit",
} | {"gpu_use", "short_reason", "last_command"}  # fmt: skip


@pytest.fixture
def status(plan, report):
    """The status JSON that node1 gives; by node."""

    def of(*peers, all_nodes=True, **changes):
        own = report("node1", at=NOW, **changes)
        return as_json(status_module.status(plan, own, peers, NOW, all_nodes=all_nodes))

    return of


@pytest.fixture
def peer(report):
    def known(node="node2", units=("decode-0",), received=990.0, heard=995.0, problem=None, **new):
        said = report(node, units=units, at=100.0, **new)
        return Peer(node, said, received=received, heard=heard, problem=problem)

    return known


def as_json(status):
    """What others read."""
    return json.loads(typed.dumps(status))


def on(node, found):
    return next(one for one in found["nodes"] if one["node"] == node)


def test_it_has_exactly_the_keys_of_the_contract_and_the_problem_of_an_agent(status, peer):
    found = status(peer(), Peer("node3"))
    assert found.keys() == TOP
    for node in found["nodes"]:
        assert node.keys() == NODE
        assert node["agent"].keys() == AGENT
        for unit in node["units"]:
            assert unit.keys() == UNIT
            assert unit["last_exit"] is None or unit["last_exit"].keys() == {"code", "signal", "at"}


@pytest.mark.parametrize("problem", [None, "silent"])
def test_its_keys_are_in_the_order_in_which_they_are_documented(status, peer, problem):
    found = status(peer(problem=problem), Peer("node3"))
    assert list(found) == list(Status.__annotations__)
    for node in found["nodes"]:
        assert list(node) == list(NodeStatus.__annotations__)
        assert list(node["agent"]) == list(AgentStatus.__annotations__)
        for unit in node["units"]:
            assert list(unit) == list(UnitStatus.__annotations__)


def test_what_is_in_use_of_gpus_is_told_of_this_nodes_units_that_have_any(
    plan, peer, report, unit_report
):
    has = {"prefill-0": (0, 1), "prefill-1": (2,), "etcd": ()}
    units = tuple(unit_report(name, gpus=gpus) for name, gpus in has.items())
    own = dataclasses.replace(report("node1"), units=units)
    gpus = [Gpu(0, True, 5, 80, 0.5), Gpu(1, True, 7, 80, 1.0), Gpu(2, False)]
    found = as_json(status_module.status(plan, own, [peer()], NOW, gpus, all_nodes=True))
    used = {"memory_used": 12, "memory": 160, "utilization": 0.75}
    assert [unit["gpu_use"] for unit in on("node1", found)["units"]] == [used, None, None]
    assert [unit["gpu_use"] for unit in on("node2", found)["units"]] == [None]


GPUS = (Gpu(0, True, 5, 80, 0.5), Gpu(1, True, 7, 80, 0.999), Gpu(2, False), Gpu(3, True, 1, 80))


@pytest.mark.parametrize(
    ("indexes", "found"),
    [
        ((0,), (5, 80, 0.5)), ((0, 1), (12, 160, 0.75)), ((0, 2), (5, 80, 0.5)),
        ((3,), (1, 80, None)), ((0, 3), (6, 160, 0.5)), ((2,), None), ((7,), None), ((), None),
    ],
)  # fmt: skip
def test_memory_is_summed_and_utilization_is_the_mean_of_those_that_can_tell(indexes, found):
    used = status_module.gpu_use(GPUS, indexes)
    assert (used and (used.memory_used, used.memory, used.utilization)) == found


def test_it_shows_this_node_alone_unless_all_are_asked_for(status, peer):
    found = status(peer(), all_nodes=False)
    assert [node["node"] for node in found["nodes"]] == ["node1"]
    assert (found["cluster"], found["plan"]) == ("demo", "d" * 64)


def test_a_unit_that_its_agent_does_not_report_is_not_left_out(status, peer):
    (unit,) = on("node2", status(peer(units=())))["units"]
    assert (unit["name"], unit["state"], unit["ready"]) == ("decode-0", "UNKNOWN", False)
    assert unit["reason"] == status_module.MISSING


def test_it_shows_all_nodes_in_the_order_of_the_plan(status, peer):
    found = status(peer())
    assert [node["node"] for node in found["nodes"]] == ["node0", "node1", "node2", "node3"]


def test_the_own_node_is_reachable_and_fresh(status, plan):
    node = on("node1", status())
    assert node["address"] == plan.address["node1"]
    assert (node["agent"]["reachable"], node["agent"]["age_s"]) == (True, 0.0)
    assert node["agent"]["problem"] is None
    (unit,) = node["units"]
    assert (unit["name"], unit["state"], unit["uptime_s"]) == ("prefill-1", "RUNNING", 987.5)


def test_a_peer_shows_when_it_last_answered(status, peer):
    agent = on("node2", status(peer()))["agent"]
    assert (agent["reachable"], agent["age_s"], agent["pid"]) == (True, 5.0, 99)


def test_the_uptime_on_a_peer_grows_while_nothing_changes_there(status, peer):
    """Its clock said 100 when its report came 10 s ago, and the process began at 12.5."""
    (unit,) = on("node2", status(peer()))["units"]
    assert unit["uptime_s"] == 97.5


def test_a_node_that_does_not_answer_shows_its_units_as_unknown_with_what_they_were(status, peer):
    node = on("node2", status(peer(problem="cannot reach its agent: connection refused")))
    assert (node["agent"]["reachable"], node["agent"]["age_s"]) == (False, 5.0)
    (unit,) = node["units"]
    assert (unit["state"], unit["ready"], unit["pid"]) == ("UNKNOWN", False, 4711)
    assert unit["reason"] == "was RUNNING; cannot reach its agent: connection refused"
    assert unit["uptime_s"] == 92.5  # as far as it is known: until it last answered


@pytest.mark.parametrize(("ending", "state"), [("SIGTERM", "STOPPED"), (None, "UNKNOWN")])
def test_units_that_an_agent_stopped_before_it_went_are_stopped(
    status, peer, unit_report, ending, state
):
    gone = peer(problem="cannot reach its agent: connection refused", ending=ending)
    said = dataclasses.replace(gone.report, units=(unit_report("decode-0", "STOPPED"),))
    (unit,) = on("node2", status(dataclasses.replace(gone, report=said)))["units"]
    assert unit["state"] == state


def test_units_that_an_ending_agent_left_running_are_unknown(status, peer):
    (unit,) = on("node2", status(peer(problem="gone", ending="SIGTERM")))["units"]
    assert unit["state"] == "UNKNOWN"


def test_a_node_never_heard_of_shows_what_the_plan_says_it_has(status):
    node = on("node0", status(Peer("node0", problem="cannot reach its agent: refused")))
    assert [unit["name"] for unit in node["units"]] == ["prefill-0", "etcd", "router-0", "nginx"]
    assert {unit["state"] for unit in node["units"]} == {"UNKNOWN"}
    assert {unit["reason"] for unit in node["units"]} == {"cannot reach its agent: refused"}
    assert node["agent"] == {
        "pid": None, "guardian_pid": None, "incarnation": None, "version": None,
        "reachable": False, "age_s": None, "problem": "cannot reach its agent: refused",
    }  # fmt: skip
    assert node["units"][0]["ports"] == {"http": 30000, "bootstrap": 30001}


def test_a_node_that_nobody_asked_is_not_reachable(status):
    assert on("node0", status())["agent"]["problem"] == "not asked yet"


@pytest.mark.parametrize("changes", [{"plan": "e" * 64}, {"node": "node3"}])
def test_a_report_of_another_plan_or_node_says_nothing_of_the_units_here(
    status, peer, unit_report, changes
):
    wrong = peer(units=("benchmark",), problem="its agent runs another plan")
    wrong = dataclasses.replace(wrong, report=dataclasses.replace(wrong.report, **changes))
    node = on("node2", status(wrong))
    assert [(unit["name"], unit["state"]) for unit in node["units"]] == [("decode-0", "UNKNOWN")]
    assert node["agent"]["age_s"] == 5.0


def test_a_unit_without_a_process_has_no_uptime(status, unit_report, report, plan):
    waiting = unit_report("prefill-1", "WAITING", pid=None, started=None)
    own = dataclasses.replace(report("node1"), units=(waiting,))
    found = status_module.status(plan, own, (), NOW, all_nodes=False)
    assert found.units[0].uptime_s is None


@pytest.mark.parametrize(
    ("state", "code", "good"),
    [("EXITED", 0, True), ("EXITED", 1, False), ("EXITED", None, False), ("STOPPED", 0, False)],
)
def test_only_a_unit_that_exited_with_zero_ended_well(unit_report, state, code, good):
    last = ExitReport(code=code, signal=None, at=1.0)
    assert unit_report("benchmark", state, last_exit=last).ended_well is good


def test_a_unit_that_never_exited_did_not_end_well(unit_report):
    assert not unit_report("benchmark", "EXITED", last_exit=None).ended_well


def test_a_unit_is_unknown_since_its_agent_was_heard_last(plan, report, peer):
    found = as_json(
        status_module.status(
            plan, report("node1"), [peer(problem="silent")], NOW, all_nodes=True, wall=5000.0
        )
    )
    node = on("node2", found)
    assert {unit["state"] for unit in node["units"]} == {"UNKNOWN"}
    assert {unit["since"] for unit in node["units"]} == {5000.0 - node["agent"]["age_s"]}
