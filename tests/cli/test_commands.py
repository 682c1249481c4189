"""``pdsup start``, ``stop``, ``restart`` and ``signal`` with real agents and processes."""

import json
import os
import pwd
import signal
import sys

import pytest

from pdsup.answers.commands import UnitBefore
from pdsup.cli import client, command
from pdsup.cli.command_rules import Outcome
from pdsup.cli.runs import living
from pdsup.cli.screens import waiting
from pdsup.errors import NothingThere
from pdsup.units.public_state import PublicState

FAST = {"first_delay_s": 0.01, "delay_s": 0.01, "factor": 1.0, "max_failures": 2}
# Ends well on TERM; a line for each HUP.
POLITE = ("sh", "-c", "trap 'echo hup' HUP; while :; do sleep 0.02; done")


@pytest.fixture
def two(agents):
    """A unit on each of two nodes, and one behind a gate."""
    plan = agents.plan(
        agents.unit("router-0", kind="router", ports={"http": 30080}),
        agents.unit("router-1", kind="router", ports={"http": 30080}, node="node1"),
        agents.unit("behind", node="node1", needs=["router-0"]),
        nodes=2,
    )
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "router-0")
    agents.reaches("RUNNING", "router-1", "node1")
    agents.reaches("RUNNING", "behind", "node1")
    return agents


def test_a_stopped_unit_stays_down_until_it_is_started(two, pdsup):
    done = pdsup("stop", "router-0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "router-0: stopped\n", "")
    stopped = two.look("router-0")
    assert (stopped["state"], stopped["pid"], stopped["restarts"]) == ("STOPPED", None, 0)
    assert pdsup("stop", "router-0").stdout == "router-0: already stopped\n"
    done = pdsup("start", "router-0")
    assert (done.returncode, done.stdout) == (0, "router-0: started\n")
    assert two.look("router-0")["run"] == 2
    assert pdsup("start", "router-0").stdout == "router-0: already started\n"


def test_a_restart_is_a_new_run_and_no_failure_and_touches_nothing_else(two, pdsup):
    before = {name: two.look(name, node) for name, node in
              (("router-0", "node0"), ("router-1", "node1"), ("behind", "node1"))}  # fmt: skip
    done = pdsup("restart", "router-*")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "router-0: restarted\nrouter-1: restarted\n"
    for name, node in (("router-0", "node0"), ("router-1", "node1")):
        assert two.look(name, node)["run"] == before[name]["run"] + 1
    assert two.look("behind", "node1")["pid"] == before["behind"]["pid"]
    assert "BACKOFF" not in {line["to"] for line in two.journal("node0", "node1")}
    second_ends = next(x for x in two.journal("node1") if x["to"] == "STOPPING")
    first_is_back = [x for x in two.journal("node0") if x["to"] == "RUNNING"][1]
    assert second_ends["monotonic"] > first_is_back["monotonic"]


def test_all_means_every_unit_of_the_agents_here_in_order(two, pdsup):
    done = pdsup("stop", "all", "--json")
    found = json.loads(done.stdout)["units"]
    assert (done.returncode, done.stderr) == (0, "")
    assert [(one["name"], one["node"], one["outcome"], one["ok"]) for one in found] == [
        ("router-0", "node0", "stopped", True),
        ("router-1", "node1", "stopped", True),
        ("behind", "node1", "stopped", True),
    ]
    assert pdsup("start", "all").returncode == 0


@pytest.mark.parametrize("width", [80, 160])
def test_what_is_told_of_commands_looks_as_it_was_looked_at(two, screen, golden, width):
    said = []
    for words in (
        "stop router-0 behind", "stop router-0", "start behind --timeout 0.1", "start router-0",
        "restart router-*", "signal CONT router-1", "stop nono", "stop",
        "shutdown --node node2 --run-dir run", "shutdown --all --run-dir run",
    ):  # fmt: skip
        said += [f"$ pdsup {words}", *screen(*words.split(), columns=width)]
    golden(f"commands-{width}", said)
    assert max(map(len, said)) <= width


def test_a_start_behind_a_closed_gate_ends_in_time_and_says_what_it_waits_for(two, pdsup):
    pdsup("stop", "behind", "router-0")
    done = pdsup("start", "behind", "--timeout", "0.3")
    assert done.returncode == 124
    assert done.stdout == (
        "behind: ERROR (not started in time: WAITING, waits for router-0 (STOPPED on node0))\n"
    )
    assert pdsup("start", "router-0").returncode == 0
    two.reaches("RUNNING", "behind", "node1")


def test_a_rank_of_a_gang_acts_on_its_gang(agents, pdsup):
    ranks = [
        agents.unit(f"prefill-0.{rank}", node=f"node{rank}", kind="worker", role="prefill",
                    rank=rank, gang="prefill-0", ports={"http": 30000})
        for rank in range(2)
    ]  # fmt: skip
    agents.start(agents.plan(*ranks, nodes=2), "node0", "node1")
    for rank in range(2):
        agents.reaches("RUNNING", f"prefill-0.{rank}", f"node{rank}")
    assert pdsup("stop", "prefill-0.1").returncode == 0
    assert [agents.look(f"prefill-0.{i}", f"node{i}")["state"] for i in range(2)] == ["STOPPED"] * 2


def test_a_unit_that_gave_up_is_started_again_and_may_give_up_again(agents, pdsup, tmp_path):
    good = tmp_path / "good"
    listener = agents.listener("worker", restart=FAST)
    only_if = ("sh", "-c", f'test -e {good} && exec "$@"', "sh")
    agents.start(agents.plan({**listener, "command": (*only_if, *listener["command"])}))
    agents.reaches("FATAL", "worker")
    done = pdsup("start", "worker")
    assert done.returncode == 1
    assert done.stdout.startswith("worker: ERROR (failed: FATAL, gave up after 2 failures")
    good.touch()
    assert pdsup("start", "worker").stdout == "worker: started\n"


def test_a_signal_reaches_the_main_process_by_name_or_number(agents, pdsup, wait_for):
    agents.start(agents.plan(agents.unit("worker", *POLITE), agents.unit("down", "false",
                 restart={"policy": "never"})))  # fmt: skip
    agents.reaches("RUNNING", "worker")
    agents.reaches("EXITED", "down")
    log = agents.run_dir / "logs" / "node0_worker.out"
    for count, word in enumerate(("HUP", "sighup", "1"), 1):
        done = pdsup("signal", word, "worker")
        assert (done.returncode, done.stdout) == (0, "worker: signalled\n")
        wait_for(lambda: log.read_text().count("hup\n") == count)  # noqa: B023
    done = pdsup("signal", "HUP", "all")
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "worker: signalled")
    assert done.stdout.splitlines()[1].startswith("down: ERROR (not running: EXITED")


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("stop", "nono"), 4, "cannot stop nono: no such unit"),
        (("stop",), 2, "UNIT is missing"),
        (("signal", "NOSUCH", "a"), 2, "cannot send NOSUCH: no such signal"),
        (("signal", "0", "a"), 2, "cannot send 0: no such signal"),
    ],
    ids=str,
)
def test_what_can_not_be_done_is_told_with_its_exit_status(idle, pdsup_shared, words, status, told):
    done = pdsup_shared(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr


@pytest.fixture(scope="module")
def idle(shared_agents):
    shared_agents.start(shared_agents.plan(shared_agents.unit("a")))


def test_for_a_unit_of_another_machine_the_command_line_to_run_there_is_printed(agents, pdsup):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0")
    done = pdsup("restart", "b", "--json")
    line = f"ssh node1 'pdsup restart b --run-dir {agents.run_dir}'"
    there = {"node": "node1", "units": ["b"], "command": line}
    assert done.returncode == 4
    assert json.loads(done.stdout) == {"units": [], "elsewhere": [there]}
    assert done.stderr == (
        "pdsup: cannot restart b from here: the agent of node1 is on another machine; run\n"
        f"  {line}\n"
    )
    done = pdsup("signal", "CONT", "a", "b")
    assert (done.returncode, done.stdout) == (1, "a: signalled\n")
    assert f"'pdsup signal CONT b --run-dir {agents.run_dir}'" in done.stderr
    assert pdsup("signal", "CONT", "all").returncode == 0
    done = pdsup("status", "b")
    assert (done.returncode, done.stdout.split()[:2]) == (3, ["b", "UNKNOWN"])


def test_nothing_is_started_while_its_node_ends(agents, pdsup, wait_for):
    slow = (sys.executable, "-c", "import signal; signal.signal(15, lambda *_: None); "
            "print('deaf', flush=True)\nwhile 1: signal.pause()")  # fmt: skip
    agents.start(agents.plan(agents.unit("slow", *slow, stop={"timeout_s": 600}), agents.unit("a")))
    log = agents.run_dir / "logs" / "node0_slow.out"
    wait_for(lambda: log.exists() and "deaf" in log.read_text())
    agents.tell("node0", "/v1/shutdown", {"all": False})
    agents.reaches("STOPPED", "a")
    done = pdsup("start", "a")
    assert done.returncode == 1
    assert done.stderr.startswith("pdsup: cannot start a: node0 is ending (shutdown requested by ")


def test_who_asked_for_what_stands_in_the_journal_and_in_the_reasons(agents, pdsup, wait_for):
    agents.start(agents.plan(agents.unit("a", restart=FAST | {"max_failures": 9})))
    agents.reaches("RUNNING", "a")
    orders = (["signal", "KILL"], ["restart"], ["stop"], ["start"])
    for number, order in enumerate(orders, 1):
        assert pdsup(*order, "a").returncode == 0
        wait_for(lambda: len(agents.requests()) == number)  # noqa: B023
        agents.reaches("STOPPED" if order == ["stop"] else "RUNNING", "a")
    found = [line["event"] for line in agents.requests()]
    assert [(one["verb"], one["tool"]) for one in found] == [
        (verb, f"pdsup {verb}") for verb, *_ in orders
    ]
    assert (found[0]["signal"], {one["user"] for one in found}) == ("SIGKILL", {whoami()})
    reasons = [line["reason"] for line in agents.journal() if line.get("to")]
    ends = ("killed by SIGKILL: sent", "restart requested", "stop requested")
    for one, words in zip(found[:3], ends, strict=True):
        by = f"by {whoami()} with {one['tool']} (pid {one['pid']}, node0)"
        assert f"{words} {by}" in reasons


def whoami():
    return pwd.getpwuid(os.geteuid()).pw_name


def test_for_a_unit_whose_agent_and_guardian_were_killed_it_is_told_what_brings_them_back(
    agents, pdsup
):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "b", "node1")
    agents.signal(signal.SIGKILL, "node1")
    agents.ended("node1")
    run = agents.run_dir
    for order in (("restart", "b"), ("signal", "CONT", "b")):
        done = pdsup(*order)
        assert (done.returncode, done.stdout) == (4, "")
        assert done.stderr == (
            f"pdsup: cannot {order[0]} b from here: the agent of node1 does not answer: it was "
            "killed together with its guardian; this starts another one, which takes over what "
            f"still runs:\n  pdsup agent {run}/plan.yaml --node node1 --run-dir {run}\n"
        )


@pytest.mark.parametrize("guarded", [True, False])
def test_a_command_waits_for_the_agent_that_a_guardian_starts(
    monkeypatch, tmp_path, unit, node, status, guarded
):
    stopped = status(node("node2", [unit("a", "STOPPED")]))
    absent = NothingThere("cannot ask the agent of node2: it was killed")
    looks = [client.Look(None, new=False, absent=absent), client.Look(stopped, new=True)]
    monkeypatch.setattr(client, "follow", lambda *_, **__: iter(looks))
    monkeypatch.setattr(living, "has_guardian", lambda _: guarded)
    before = {"a": UnitBefore(state=PublicState.RUNNING, run=1, since=0.0)}

    def stop():
        return list(command._await("stop", tmp_path / "control.sock", ["a"], before, 0.0))

    if guarded:
        (result,) = stop()
        assert result.outcome is Outcome.DONE
        looks.pop()
    with pytest.raises(NothingThere, match="it was killed"):
        stop()


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_a_command_says_what_it_waits_for(monkeypatch, capsys, tmp_path, unit, node, status, verb):
    loading = status(node("node2", [unit("a", "STOPPING", since=0.0, reason="still busy")]))
    monkeypatch.setattr(waiting, "SILENCE_S", 0.0)
    monkeypatch.setattr(client, "follow", lambda *_, **__: iter([client.Look(loading, new=True)]))
    state = PublicState.STOPPED if verb == "start" else PublicState.RUNNING
    before = {"a": UnitBefore(state=state, run=1, since=0.0)}
    (result,) = command._await(verb, tmp_path, ["a"], before, 0.0)
    assert result.outcome is Outcome.LATE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "waiting for\n  a (node2) STOPPING: still busy\n"
