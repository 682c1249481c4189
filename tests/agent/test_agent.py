"""Real agents on loopback addresses: from the first start to the last process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from pdsup.cli import client
from pdsup.errors import SupervisorError
from pdsup.plan.compile import load
from tests.agent.replay import replay

PROGRAM = ("-m", "pdsup.launch")
STUBBORN = ("sh", "-c", 'trap "" TERM; echo trapped; exec sleep 1000')
FAST = {"first_delay_s": 0.01, "delay_s": 0.01, "factor": 1.0, "max_failures": 2}


# -- start ----------------------------------------------------------------------------------------


def test_units_start_when_those_they_need_are_running_also_on_other_nodes(agents, wait_for):
    needs = {"units": [{"unit": "worker", "ports": ["http"]}, {"unit": "etcd"}]}
    plan = agents.plan(
        {**agents.unit("router"), "needs": needs},
        agents.unit("etcd"),
        agents.listener("worker", node="node1", delay=0.1),
        nodes=2,
    )
    agents.start(plan, "node0")
    agents.reaches("RUNNING", "etcd")
    waiting = agents.look("router")
    assert (waiting["state"], waiting["pid"], waiting["run"]) == ("WAITING", None, 0)
    assert waiting["reason"] == "waits for worker (no report from its node)"
    agents.start(plan, "node1")
    agents.reaches("RUNNING", "router")
    ready = agents.when("RUNNING", "worker", "node1")
    assert agents.when("STARTING", "router") >= ready


def test_a_unit_that_waits_says_for_what_state_of_what_node(agents, wait_for):
    plan = agents.plan(
        agents.unit("router", needs=["worker"]),
        agents.listener("worker", node="node1", delay=1000.0),
        nodes=2,
    )
    agents.start(plan, "node0", "node1")
    expected = "waits for worker (STARTING on node1)"
    wait_for(lambda: agents.look("router")["reason"] == expected)


def test_a_port_that_somebody_else_holds_is_named_with_its_holder(agents, wait_for):
    plan = agents.plan(agents.listener("worker"))
    with socket.create_server((agents.addresses["node0"], 30000)):
        agents.start(plan, program=PROGRAM)
        found = wait_for(lambda: agents.look("worker")["reason"])
        assert agents.look("worker")["state"] == "WAITING"
        assert f"port 30000 is held by pid {os.getpid()} " in found
    agents.reaches("RUNNING", "worker")


# -- failures -------------------------------------------------------------------------------------


def test_a_unit_that_was_killed_comes_back_and_what_needs_it_goes_on(agents, wait_for):
    plan = agents.plan(agents.unit("router", needs=["worker"]), agents.unit("worker"))
    agents.start(plan)
    router = agents.reaches("RUNNING", "router")
    before = agents.look("worker")
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(lambda: agents.look("worker")["run"] == 2)
    after = agents.reaches("RUNNING", "worker")
    assert after["pid"] != before["pid"]
    assert (after["restarts"], after["last_exit"]["signal"]) == (1, "SIGKILL")
    assert agents.look("router")["pid"] == router["pid"]
    died = next(line for line in agents.journal() if line["to"] == "BACKOFF")
    assert (died["unit"], died["run"], died["reason"]) == ("worker", 1, "killed by SIGKILL")


def test_an_agent_with_a_fatal_unit_goes_on_and_tells_in_its_exit_status(agents):
    plan = agents.plan(agents.unit("broken", "false", restart=FAST), agents.unit("sound"))
    agents.start(plan)
    assert "exited with status 1" in agents.reaches("FATAL", "broken")["reason"]
    assert agents.look("sound")["state"] == "RUNNING"
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 1}


def test_a_fatal_unit_ends_every_node_when_the_plan_says_so(agents):
    broken = agents.unit("broken", "false", restart=FAST)
    plan = agents.plan(broken, agents.unit("sound", node="node1"), nodes=2)
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "on_fatal": "stop-cluster"}))
    agents.start(plan, "node0", "node1", wait=False)
    assert agents.ended("node0", "node1") == {"node0": 1, "node1": 0}


def test_an_agent_whose_units_only_had_to_be_restarted_ends_with_zero(agents, wait_for):
    agents.start(agents.plan(agents.unit("worker")))
    os.kill(agents.reaches("RUNNING", "worker")["pid"], signal.SIGKILL)
    wait_for(lambda: agents.look("worker")["run"] == 2)
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}


DEFECT = """
import sys
import asyncio
from pdsup.agent.shutdown import Shutdown
from pdsup.journal import entry
from pdsup.launch import main

seen = set()

def line(transition, *rest, real=entry.line):
    seen.add(transition.unit)
    return real(transition, *rest)

async def wait(self):
    while "late" not in seen:
        await asyncio.sleep(0.01)
    raise RuntimeError("a defect")

entry.line = line
Shutdown.wait = wait
sys.exit(main(sys.argv[1:]))
"""


def test_a_defect_of_the_agent_itself_shows_its_traceback_and_the_next_one_goes_on_with_its_units(
    agents,
):
    family = (
        "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000 & exec sleep 1000' &) ; wait"
    )
    plan = agents.plan(
        agents.unit("family", "sh", "-c", family),
        agents.listener("stubborn"),
        agents.unit("late", needs=["family", "stubborn"]),
    )
    agents.start(plan, program=("-c", DEFECT), wait=False)
    assert agents.ended() == {"node0": 1}
    assert "RuntimeError: a defect" in agents.errors()
    left = set(agents.processes_left())
    agents.start(plan)
    assert agents.reaches("RUNNING", "family")["run"] == 1
    assert agents.reaches("RUNNING", "stubborn")["run"] == 1
    agents.reaches("RUNNING", "late")
    assert left < set(agents.processes_left())
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []
    assert agents.socket() is None


CONTAINED = """
import sys
from pdsup.journal import entry
from pdsup.launch import main

def line(transition, *rest, real=entry.line):
    if transition.unit == "late":
        raise RuntimeError("a defect")
    return real(transition, *rest)

entry.line = line
sys.exit(main(sys.argv[1:]))
"""


def test_a_defect_at_the_news_of_a_unit_is_logged_and_the_unit_and_all_others_go_on(agents):
    plan = agents.plan(agents.unit("early"), agents.unit("late", needs=["early"]))
    agents.start(plan, program=("-c", CONTAINED))
    agents.reaches("RUNNING", "late")
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert "RuntimeError: a defect" in agents.errors()
    assert agents.processes_left() == []


def test_an_agent_that_can_not_write_its_journal_goes_on(agents):
    (agents.run_dir / "events" / "node0.jsonl").mkdir(parents=True)
    agents.start(agents.plan(agents.unit("worker")))
    agents.reaches("RUNNING", "worker")
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}


def test_an_agent_whose_stdout_is_closed_ends_as_any_other(agents):
    closed = (
        "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    agents.start(agents.plan(agents.unit("a")), program=("-c", closed, *PROGRAM))
    agents.reaches("RUNNING", "a")
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert "Traceback" not in agents.errors()


def test_an_agent_that_can_not_write_its_own_log_goes_on(agents, wait_for):
    (agents.directory / "node0.err").symlink_to("/dev/full")
    agents.start(agents.plan(agents.unit("worker")), program=PROGRAM)
    os.kill(agents.reaches("RUNNING", "worker")["pid"], signal.SIGKILL)
    wait_for(lambda: agents.look("worker")["run"] == 2)
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}


# -- end ------------------------------------------------------------------------------------------


def test_a_term_stops_what_is_in_front_first_and_leaves_nothing(agents):
    plan = agents.plan(
        agents.unit("worker"),
        agents.unit("router", needs=["worker"]),
        agents.unit("nginx", needs=["router"]),
    )
    agents.start(plan)
    agents.reaches("RUNNING", "nginx")
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    stops = [(x["unit"], x["to"]) for x in agents.journal() if x["to"] in ("STOPPING", "STOPPED")]
    names = ("nginx", "router", "worker")
    assert stops == [(name, to) for name in names for to in ("STOPPING", "STOPPED")]
    assert agents.processes_left() == []
    assert list(agents.runtime.glob("pdsup/*")) == []


def test_nodes_that_end_together_stop_in_the_order_of_the_whole_plan(agents):
    slow = ("sh", "-c", "trap 'sleep 0.3; exit 0' TERM; while :; do sleep 0.02; done")
    plan = agents.plan(
        agents.unit("router", *slow, node="node0", needs=["worker"]),
        agents.unit("worker", node="node1"),
        nodes=2,
    )
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "router")
    agents.signal(signal.SIGTERM, "node1", "node0")
    assert set(agents.ended("node0", "node1").values()) == {0}
    assert agents.when("STOPPING", "worker", "node1") >= agents.when("STOPPED", "router")


def test_a_node_that_ends_alone_does_not_wait_for_those_that_go_on(agents):
    plan = agents.plan(
        agents.unit("router", node="node0", needs=["worker"]),
        agents.unit("worker", node="node1"),
        nodes=2,
    )
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "router")
    agents.signal(signal.SIGTERM, "node1")
    assert agents.ended("node1") == {"node1": 0}
    assert agents.look("router")["state"] == "RUNNING"


def stops(agents) -> int:
    """How often a unit of the first node was told to stop, and that changed something."""
    return [line["event"]["type"] for line in agents.journal()].count("Stop")


def test_a_later_term_kills_what_does_not_stop_within_a_second(agents, wait_for):
    plan = agents.plan(agents.unit("worker", *STUBBORN, stop={"timeout_s": 600}))
    agents.start(plan)
    log = agents.run_dir / "logs" / "node0_worker.out"
    wait_for(lambda: log.exists() and "trapped" in log.read_text())
    agents.signal(signal.SIGTERM)
    agents.reaches("STOPPING", "worker")
    agents.signal(signal.SIGTERM)  # so soon it is the same one
    while stops(agents) < 2:
        time.sleep(0.1)
        agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


def test_the_first_term_during_an_end_that_was_asked_for_does_not_hurry_it(agents, wait_for):
    agents.start(agents.plan(agents.unit("worker", *STUBBORN, stop={"timeout_s": 1.6})))
    log = agents.run_dir / "logs" / "node0_worker.out"
    wait_for(lambda: log.exists() and "trapped" in log.read_text())
    agents.tell("node0", "/v1/shutdown", {"all": True})
    agents.reaches("STOPPING", "worker")
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert stops(agents) == 1


@pytest.mark.parametrize("program", [None, ("-m", "pdsup", "agent")], ids=["agent", "guardian"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1])
def test_the_keys_of_a_terminal_and_the_near_end_of_the_wall_time_end_the_node_in_order(
    agents, number, program
):
    agents.start(agents.plan(agents.unit("worker")), program=program)
    agents.reaches("RUNNING", "worker")
    agents.signal(number)
    assert agents.ended() == {"node0": 0}
    assert agents.journal()[-1]["to"] == "STOPPED"


def test_files_named_like_modules_in_the_current_directory_end_no_agent(
    agents, wait_for, tmp_path, monkeypatch
):
    """Also not the agent after one that was killed, or that handed over to newer code."""
    job = tmp_path / "job"
    job.mkdir()
    for name in sys.stdlib_module_names | {"pdsup", "aiohttp", "yaml", "uvloop"}:
        (job / f"{name}.py").write_text("raise SystemExit('usage')")
    monkeypatch.chdir(job)
    agents.start(agents.plan(agents.unit("worker")), program=("-P", "-m", "pdsup", "agent"))
    first = agents.agent()
    os.kill(first, signal.SIGKILL)
    second = wait_for(lambda: agents.agent() not in (None, first) and agents.agent())
    agents.tell("node0", "/v1/reload", {"agent": True})
    wait_for(lambda: agents.agent() not in (None, first, second))
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}


@pytest.mark.parametrize("program", [("-m", "pdsup.launch"), ("-m", "pdsup", "agent")])
def test_who_sent_the_agent_a_signal_is_known_also_through_a_guardian(agents, wait_for, program):
    agents.start(agents.plan(agents.unit("worker")), program=program)
    agents.reaches("RUNNING", "worker")

    def told(number):
        return [one for one in agents.requests() if one["event"].get("signal") == number.name]

    for number in (signal.SIGHUP, signal.SIGTERM):
        agents.signal(number)
        (line,) = wait_for(lambda: told(number))  # noqa: B023
        assert (line["event"]["type"], line["event"]["pid"]) == ("Requested", os.getpid())
    assert agents.ended() == {"node0": 0}
    assert line["event"]["verb"] == "shutdown"
    stops = [one["reason"] for one in agents.journal() if one.get("to") == "STOPPING"]
    assert stops == [line["reason"]]
    assert line["reason"].startswith("SIGTERM sent by ")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_reaches_every_process_means_the_agent_alone(agents, wait_for, number):
    """As Slurm sends them. What is no known program may have been meant, and gets it."""
    units = [agents.unit("worker", kind="worker", role="agg", rank=0), agents.unit("service")]
    units += [agents.unit("choosy", kind="worker", role="agg", rank=0, stop={"signal": "HUP"})]
    agents.start(agents.plan(*units))
    pids = [agents.reaches("RUNNING", unit["name"])["pid"] for unit in units]
    for pid in (*pids, agents.processes["node0"].pid):
        os.kill(pid, number)
    if number == signal.SIGUSR1:
        assert agents.ended() == {"node0": 0}
        last = {line["unit"]: line for line in agents.journal() if line["to"] == "STOPPED"}
        assert last["worker"]["event"]["status"]["signal"] == "SIGTERM"
        assert agents.processes_left() == []
        return
    wait_for(lambda: agents.look("service")["run"] == agents.look("choosy")["run"] == 2)
    assert agents.look("worker")["pid"] == pids[0]
    assert agents.look("service")["last_exit"]["signal"] == "SIGHUP"
    wait_for(lambda: "the plan has not changed" in agents.errors())


def test_a_hangup_changes_nothing(agents):
    agents.start(agents.plan(agents.unit("worker")))
    before = agents.reaches("RUNNING", "worker")
    agents.signal(signal.SIGHUP)
    assert agents.look("worker")["pid"] == before["pid"]


@pytest.mark.parametrize("told", ["node0", "node2"])
def test_the_end_of_the_cluster_reaches_every_node_from_any_node(agents, told):
    nodes = [f"node{i}" for i in range(3)]
    plan = agents.plan(*(agents.unit(f"on-{n}", node=n) for n in nodes), nodes=3)
    agents.start(plan, *nodes)
    for node in nodes:
        agents.reaches("RUNNING", f"on-{node}", node)
    assert agents.tell(told, "/v1/shutdown", {"all": True}) == {"ending": True}
    assert agents.ended(*nodes) == dict.fromkeys(nodes, 0)
    assert agents.processes_left() == []


def test_the_end_of_one_node_is_not_the_end_of_the_cluster(agents):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "a")
    agents.tell("node0", "/v1/shutdown", {"all": False})
    assert agents.ended("node0") == {"node0": 0}
    assert agents.reaches("RUNNING", "b", "node1")


def test_a_cluster_that_ends_while_its_first_node_ends_already_ends_everywhere(agents, wait_for):
    nodes = ["node0", "node1", "node2"]
    plan = agents.plan(
        agents.unit("slow", *STUBBORN, stop={"timeout_s": 1}),
        *(agents.unit(f"on-{n}", node=n) for n in nodes[1:]),
        nodes=3,
    )
    agents.start(plan, *nodes)
    log = agents.run_dir / "logs" / "node0_slow.out"
    wait_for(lambda: log.exists() and "trapped" in log.read_text())
    agents.signal(signal.SIGTERM, "node0")
    agents.reaches("STOPPING", "slow")
    agents.tell("node1", "/v1/shutdown", {"all": True})
    assert agents.ended(*nodes) == dict.fromkeys(nodes, 0)


# -- agents among themselves ----------------------------------------------------------------------


def test_a_busy_control_port_is_one_sentence_that_names_its_holder(agents):
    plan = agents.plan(agents.unit("worker"))
    with socket.create_server((agents.addresses["node0"], 9440)):
        agents.start(plan, program=PROGRAM, wait=False)
        assert agents.ended() == {"node0": 1}
    (line,) = agents.errors().splitlines()
    address = re.escape(agents.addresses["node0"])
    expected = rf"pdsup: cannot listen on {address}:9440: .*held by pid {os.getpid()} \(.+\)"
    assert re.fullmatch(expected, line)
    assert list(agents.runtime.glob("pdsup/*")) == []


def test_a_second_agent_for_a_node_is_refused_and_the_first_goes_on(agents):
    plan = agents.plan(agents.unit("worker"))
    agents.start(plan)
    first = agents.processes["first"] = agents.processes["node0"]
    before = agents.reaches("RUNNING", "worker")
    agents.start(plan, wait=False)
    assert agents.ended() == {"node0": 1}
    assert agents.errors().splitlines()[-1] == (
        f"pdsup: cannot start an agent for node0: one is already running, pid {first.pid}"
    )
    assert agents.look("worker")["pid"] == before["pid"]


def test_an_agent_takes_over_from_one_that_was_killed(agents, wait_for):
    plan = agents.plan(agents.unit("worker"))
    agents.start(plan)
    agents.reaches("RUNNING", "worker")
    before = agents.status()["node0"]["agent"]
    agents.signal(signal.SIGKILL)
    agents.ended()
    assert agents.socket().exists()
    agents.start(plan)
    after = agents.status()["node0"]["agent"]
    assert before["incarnation"] != after["incarnation"]
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.socket() is None


def test_who_waits_for_news_does_not_miss_those_of_a_peer(agents, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "a")
    wait_for(lambda: agents.status(query="?all=1")["node1"]["units"][0]["state"] == "RUNNING")
    before = client.ask(agents.socket(), "/v1/status?all=1").version
    os.kill(agents.look("b", "node1")["pid"], signal.SIGKILL)
    wait_for(lambda: agents.status(query="?all=1")["node1"]["units"][0]["run"] == 2)
    assert client.ask(agents.socket(), f"/v1/status?all=1&since={before}").value is not None


def test_a_node_that_is_gone_is_shown_with_what_it_last_said(agents, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    pid = agents.reaches("RUNNING", "a")["pid"]
    wait_for(lambda: agents.status("node1", "?all=1")["node0"]["units"][0]["pid"] == pid)
    agents.signal(signal.SIGKILL, "node0")
    agents.ended("node0")
    gone = wait_for(lambda: unreachable(agents))
    (unit,) = gone["units"]
    assert (unit["state"], unit["pid"], unit["ready"]) == ("UNKNOWN", pid, False)
    assert unit["reason"].startswith("was RUNNING; cannot reach its agent: ")
    assert gone["agent"]["age_s"] > 0
    agents.signal(signal.SIGTERM, "node1")
    assert agents.ended("node1") == {"node1": 0}


def unreachable(agents):
    found = agents.status("node1", "?all=1")["node0"]
    return None if found["agent"]["reachable"] else found


def test_a_node_that_was_stopped_is_shown_as_stopped(agents, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    wait_for(lambda: agents.status(query="?all=1")["node1"]["units"][0]["state"] == "RUNNING")
    agents.tell("node1", "/v1/shutdown", {"all": False})
    agents.ended("node1")
    (unit,) = wait_for(lambda: not_reachable_unit(agents))
    assert unit["state"] == "STOPPED"


def not_reachable_unit(agents):
    found = agents.status(query="?all=1")["node1"]
    return None if found["agent"]["reachable"] else found["units"]


# -- what it writes -------------------------------------------------------------------------------


def test_every_line_of_the_journal_is_json_that_names_run_and_reason_and_can_be_replayed(
    agents, wait_for
):
    plan = agents.plan(agents.unit("worker"), agents.unit("after", needs=["worker"]))
    agents.start(plan)
    os.kill(agents.reaches("RUNNING", "worker")["pid"], signal.SIGKILL)
    wait_for(lambda: agents.look("worker")["run"] == 2)
    agents.reaches("RUNNING", "worker")
    agents.signal(signal.SIGTERM)
    agents.ended()
    lines = agents.journal()
    keys = {"at", "monotonic", "node", "unit", "run", "event", "from", "to", "reason"}
    keys |= {"state", "context", "boot"}
    assert all(line.keys() == keys for line in lines)
    assert {line["node"] for line in lines} == {"node0"}
    steps = [(x["run"], x["to"]) for x in lines if x["unit"] == "worker"]
    assert steps == [
        (1, "STARTING"), (1, "RUNNING"), (1, "BACKOFF"), (2, "STARTING"), (2, "RUNNING"),
        (2, "STOPPING"), (2, "STOPPED"),
    ]  # fmt: skip
    stamps = [line["monotonic"] for line in lines]
    assert stamps == sorted(stamps)
    assert replay(lines, load.load(plan, nodes=None).plan) == len(lines)


def test_a_unit_inherits_nothing_of_the_agent_but_its_environment(agents, wait_for):
    script = (
        "import json,os;print(json.dumps([os.listdir('/proc/self/fd'),os.getsid(0)==os.getpid()]))"
    )
    command = (sys.executable, "-S", "-E", "-c", script)
    agents.start(agents.plan(agents.unit("worker", *command, restart={"policy": "never"})))
    agents.reaches("EXITED", "worker")
    said = (agents.run_dir / "logs" / "node0_worker.out").read_text().splitlines()[-1]
    descriptors, own_session = json.loads(said)
    assert (len(descriptors), own_session) == (4, True)  # 0, 1, 2 and the one that lists them


def test_an_agent_answers_while_it_ends(agents, wait_for):
    plan = agents.plan(agents.unit("worker", *STUBBORN, stop={"timeout_s": 600}))
    agents.start(plan)
    log = agents.run_dir / "logs" / "node0_worker.out"
    wait_for(lambda: log.exists() and "trapped" in log.read_text())
    agents.signal(signal.SIGTERM)
    agents.reaches("STOPPING", "worker")
    assert agents.look("worker")["pid"]
    with pytest.raises(SupervisorError, match="503"):
        client.ask(agents.socket(), "/readyz")


@pytest.mark.parametrize("code", [0, 7])
def test_the_end_of_the_benchmark_ends_the_cluster_and_its_status_is_the_agents(agents, code):
    plan = agents.plan(
        agents.unit("worker", node="node0"),
        agents.unit(
            "bench", "sh", "-c", f"exit {code}", node="node1", needs=["worker"], kind="benchmark",
            restart={"policy": "never"},
        ),
        nodes=2,
    )  # fmt: skip
    agents.start(plan, "node0", "node1", wait=False)
    assert agents.ended("node0", "node1") == {"node0": 0, "node1": code}
    assert agents.processes_left() == []


# An agent's end with a thread that never ends: asyncio's resolver may hang like this.
LEFT_THREAD = """
import sys, threading
from pdsup import launch
threading.Thread(target=threading.Event().wait).start()
print("told", end="")
launch._leave(3)
"""


@pytest.mark.processes
def test_no_thread_that_hangs_keeps_an_agent_from_its_end_and_what_it_said_is_not_lost():
    command = [sys.executable, "-c", LEFT_THREAD]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, b"told")
