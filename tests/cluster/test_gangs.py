"""Gangs of real processes under real agents, one for each node: together or not at all."""

import json
import os
import signal

import pytest

RANKS = ("w.0", "w.1", "w.2")
NODES = ("node0", "node1", "node2")
FAST = {"first_delay_s": 0.3, "delay_s": 0.3, "factor": 1.0, "max_failures": 2}


@pytest.fixture
def gang(agents):
    """A plan of a worker on three nodes and a single one beside it."""

    def rank(number, *command, **settings):
        return agents.unit(
            f"w.{number}", *command, node=f"node{number}", kind="worker", role="decode",
            rank=number, gang="w", **{"restart": FAST, **settings},
        )  # fmt: skip

    def plan(**commands):
        ranks = [rank(n, *commands.get(f"rank{n}", ())) for n in range(3)]
        single = agents.unit("single", node="node1", kind="worker", role="decode", rank=0)
        return agents.plan(*ranks, single, nodes=3)

    return plan


def looks(agents):
    return {f"w.{n}": agents.look(f"w.{n}", f"node{n}") for n in range(3)}


def pids(agents):
    return [unit["pid"] for unit in looks(agents).values()]


def all_run(agents, run, wait_for):
    def there():
        found = looks(agents).values()
        return all((unit["state"], unit["run"]) == ("RUNNING", run) for unit in found)

    wait_for(there, f"run {run} of all ranks")


def test_ranks_start_when_all_are_there_and_not_before(agents, gang, wait_for):
    plan = gang()
    agents.start(plan, "node0", "node1")
    expected = "waits for w.2 (no report from its node)"
    wait_for(lambda: agents.look("w.0")["reason"] == expected)
    wait_for(lambda: "waits for w.0 to begin" in agents.look("w.1", "node1")["reason"])
    assert [agents.look(f"w.{n}", f"node{n}")["state"] for n in range(2)] == ["WAITING"] * 2
    assert agents.reaches("RUNNING", "single", "node1")
    agents.start(plan, "node2")
    all_run(agents, 1, wait_for)
    starts = [agents.when("STARTING", f"w.{n}", f"node{n}") for n in range(3)]
    assert max(starts) - min(starts) < 1.0


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_kill_of_any_rank_starts_all_again_exactly_once_and_no_other(
    agents, gang, wait_for, victim
):
    agents.start(gang(), *NODES)
    all_run(agents, 1, wait_for)
    single = agents.reaches("RUNNING", "single", "node1")["pid"]
    os.kill(pids(agents)[victim], signal.SIGKILL)
    all_run(agents, 2, wait_for)
    for number in range(3):
        lines = [x for x in agents.journal(f"node{number}") if x["unit"] == f"w.{number}"]
        assert [x["to"] for x in lines].count("STARTING") == 2
        failed = [x for x in lines if x["to"] == "BACKOFF"]
        assert len(failed) == (number == victim)  # the others are not to blame
    assert agents.look("single", "node1")["pid"] == single
    reasons = [x["reason"] for x in agents.journal(*NODES) if x["to"] == "STOPPING"]
    assert reasons == [f"w.{victim} is BACKOFF: killed by SIGKILL"] * 2


def test_none_starts_before_the_last_of_the_old_ones_has_ended(agents, gang, wait_for):
    slow = ("sh", "-c", "trap 'sleep 0.5; exit 0' TERM; while :; do sleep 0.02; done")
    agents.start(gang(rank2=slow), *NODES)
    all_run(agents, 1, wait_for)
    os.kill(pids(agents)[1], signal.SIGKILL)
    all_run(agents, 2, wait_for)
    lines = [x for x in agents.journal(*NODES) if x["unit"] in RANKS]
    ended = max(x["at"] for x in lines if x["to"] == "WAITING" and x["from"] == "STOPPING")
    again = [x["at"] for x in lines if x["to"] == "STARTING" and x["run"] == 2]
    assert min(again) > ended


def test_a_rank_that_is_given_up_holds_the_others(agents, gang, wait_for):
    agents.start(gang(rank1=("false",)), *NODES)
    agents.reaches("FATAL", "w.1", "node1")
    expected = "waits for w.1 (FATAL on node1)"
    wait_for(lambda: agents.look("w.0")["reason"] == expected)
    wait_for(lambda: looks(agents)["w.2"]["state"] == "WAITING")


def test_a_rank_of_an_agent_of_the_first_version_is_taken_over_with_its_epoch(
    agents, gang, wait_for
):
    plan = gang()
    agents.start(plan, *NODES)
    all_run(agents, 1, wait_for)
    before = pids(agents)
    state_dir = agents.socket("node1").parent
    agents.signal(signal.SIGKILL, "node1")
    agents.processes["node1"].wait(60)
    # That version kept the epochs of runs beside its ledger, and no steps.
    ledger, epochs = state_dir / "ledger", {}
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    for line in lines:
        line.pop("step", None)
        if epoch := line.pop("epoch", None):
            epochs[line["unit"]] = [line["run"], epoch]
    ledger.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (state_dir / "epochs.json").write_text(json.dumps(epochs))
    agents.start(plan, "node1")
    all_run(agents, 1, wait_for)
    assert (pids(agents), list(epochs)) == (before, ["w.1"])
    assert not (state_dir / "epochs.json").exists()
    os.kill(before[1], signal.SIGKILL)
    all_run(agents, 2, wait_for)


@pytest.mark.parametrize("node", [0, 1])
def test_an_agent_that_was_killed_and_comes_back_takes_its_rank_over_and_no_rank_begins_anew(
    agents, gang, wait_for, node
):
    plan = gang()
    agents.start(plan, *NODES)
    all_run(agents, 1, wait_for)
    before = pids(agents)
    agents.signal(signal.SIGKILL, f"node{node}")
    agents.processes[f"node{node}"].wait(60)
    agents.start(plan, f"node{node}")
    # What happens to one afterwards is a matter of all again, and only once.
    os.kill(looks(agents)["w.1"]["pid"], signal.SIGKILL)
    all_run(agents, 2, wait_for)
    assert not set(pids(agents)) & set(before)
