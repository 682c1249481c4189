"""Agents and guardians are killed; their units do not notice.

What runs is looked at from outside, in /proc: no agent is taken at its word.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from pdsup.plan.compile import load
from pdsup.units.process.guardian import STRAY
from tests.agent.replay import replay
from tests.bed import forks

GUARDED = forks.guarded
# As users start it; forks do the same in less time.
REAL = ("-m", "pdsup", "agent")
# One whose first agent is killed between the ledger and the journal: in the line of a state.
HASTY = """
import json, os, signal, sys
from pathlib import Path
from pdsup import launch
from pdsup.journal.own_journal import OwnJournal
state, before, here = sys.argv.pop(1), OwnJournal.write, Path(sys.argv.pop(1))

def write(journal, line):
    if json.loads(line.text).get("state", {}).get("type") == state and not here.exists():
        here.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return before(journal, line)

OwnJournal.write = write
sys.exit(launch.main(sys.argv[1:]))
"""
# One whose agents write no line of the journal until they end, as long as a file is there.
SLOW = """
import sys
from pathlib import Path
from pdsup import launch
from pdsup.journal import own_journal
own_journal.GATHER_S = 1000.0 if Path(sys.argv.pop(1)).exists() else 0.0
sys.exit(launch.main(sys.argv[1:]))
"""
GUARDED_HASTY = """
import sys
from pdsup.units.process import guardian
guardian.LONGEST_DELAY_S = 0.0
sys.exit(guardian.main([sys.executable, "-c", *sys.argv[1:]]))
"""
# How many things happen in the random history; each takes about half a second.
HAPPENINGS = int(os.environ.get("PDSUP_TEST_HAPPENINGS", "8"))
FAMILY = "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & exec sleep 1000' &) ; wait"
AT_ONCE = {"first_delay_s": 0.0, "delay_s": 0.0, "jitter": 0.0, "max_failures": 100_000}
AT_ONCE |= {"limit_s": 0.0}


class Node:
    """One guarded agent, and what of its units lives according to /proc."""

    def __init__(self, agents, wait_for):
        self.agents, self.wait_for = agents, wait_for

    @property
    def guardian(self) -> int:
        return self.agents.processes["node0"].pid

    @property
    def agent(self) -> int:
        return int(self.agents.status()["node0"]["agent"]["pid"])

    def kill_agent(self) -> int:
        """SIGKILL to the agent alone; its pid. The next one answers when this returns."""
        killed = self.agent
        os.kill(killed, signal.SIGKILL)
        self.wait_for(lambda: self.agents.listens("node0") and self.agent != killed, "a new agent")
        return killed

    def kill_both(self, plan, program=GUARDED) -> None:
        """SIGKILL to guardian and agent; then a new pair."""
        agent = self.agent
        os.kill(self.guardian, signal.SIGKILL)
        os.kill(agent, signal.SIGKILL)
        self.agents.processes["node0"].wait(60)
        self.wait_for(lambda: not Path(f"/proc/{agent}").exists(), "the agent's end")
        self.agents.start(plan, program=program)

    def living(self) -> dict[tuple[str, int], list[int]]:
        """Living processes of each run (unit, number); what was started first stands first."""
        mark = f"XDG_RUNTIME_DIR={self.agents.runtime}".encode()
        found: dict[tuple[str, int], list[int]] = {}
        for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda entry: int(entry.name)):
            with contextlib.suppress(OSError):
                words = (entry / "environ").read_bytes().split(b"\0")
                runs = [word for word in words if word.startswith(b"PDSUP_RUN=")]
                if mark in words and runs:
                    _, unit, run = runs[0].decode().split("/")
                    found.setdefault((unit, int(run)), []).append(int(entry.name))
        return found

    def has_family(self, run) -> bool:
        """Whether all that FAMILY starts is there, and none of it is about to become another
        program: for a moment that has no environment.
        """
        found = self.living().get(("family", run), [])
        names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in found]
        return sorted(names) == ["sh", "sleep", "sleep", "sleep"]


@pytest.fixture
def node(agents, wait_for):
    return Node(agents, wait_for)


def pids(agents, *units):
    return [agents.reaches("RUNNING", unit)["pid"] for unit in units]


# -- the guardian ---------------------------------------------------------------------------------


def test_a_new_agent_takes_over_what_a_killed_one_left_and_restarts_nothing(agents, node, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("family", "sh", "-c", FAMILY))
    agents.start(plan, program=REAL)
    before = pids(agents, "a", "family")
    wait_for(lambda: node.has_family(1), "the family")
    everything = node.living()
    for _ in range(3):
        node.kill_agent()
    assert pids(agents, "a", "family") == before
    assert node.living() == everything
    assert [agents.look(unit)["restarts"] for unit in ("a", "family")] == [0, 0]
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


def test_the_status_names_guardian_and_agent(agents, node):
    agents.start(agents.plan(agents.unit("a")), program=REAL)
    found = agents.status()["node0"]["agent"]
    assert found["guardian_pid"] == node.guardian
    assert Path(f"/proc/{found['pid']}/stat").read_text().split()[3] == str(node.guardian)


def test_signals_that_mean_nothing_end_neither_guardian_nor_agent(agents, node):
    agents.start(agents.plan(agents.unit("a")), program=GUARDED)
    (before,) = pids(agents, "a")
    both = (node.guardian, node.agent)
    for number in sorted(STRAY):
        for pid in both:
            os.kill(pid, number)
    assert pids(agents, "a") == [before]
    assert (node.guardian, node.agent) == both
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}


def test_a_guardian_takes_less_than_10_mb(agents, node):
    agents.start(agents.plan(agents.unit("a")), program=REAL)
    status = Path(f"/proc/{node.guardian}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon")]
    # What it has for itself; the interpreter's pages are shared with the agent's.
    assert int(line.split()[1]) < 5000


def test_how_a_unit_ended_that_was_taken_over_is_known(agents, node, wait_for):
    script = "trap 'exit 7' USR1; while :; do sleep 0.01; done"
    agents.start(agents.plan(agents.unit("a", "sh", "-c", script)), program=GUARDED)
    pid = agents.reaches("RUNNING", "a")["pid"]
    node.kill_agent()
    os.kill(pid, signal.SIGUSR1)
    wait_for(lambda: agents.look("a")["run"] == 2)
    assert agents.look("a")["last_exit"]["code"] == 7


def test_a_unit_that_ended_while_no_agent_lived_is_started_again_and_how_it_ended_is_known(
    agents, node, wait_for
):
    agents.start(agents.plan(agents.unit("a"), agents.unit("b")), program=GUARDED)
    a, b = pids(agents, "a", "b")
    agent = node.agent
    os.kill(agent, signal.SIGSTOP)  # it can't notice
    os.kill(a, signal.SIGABRT)
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: agents.listens("node0") and agents.look("a")["run"] == 2)
    assert agents.look("a")["last_exit"]["signal"] == "SIGABRT"
    assert agents.reaches("RUNNING", "b")["pid"] == b
    assert agents.look("b")["run"] == 1


def test_what_a_unit_that_was_taken_over_leaves_behind_is_ended(agents, node, wait_for):
    agents.start(
        agents.plan(agents.unit("family", "sh", "-c", FAMILY, restart=AT_ONCE)), program=GUARDED
    )
    agents.reaches("RUNNING", "family")
    wait_for(lambda: node.has_family(1), "the family")
    node.kill_agent()
    os.kill(agents.look("family")["pid"], signal.SIGKILL)
    wait_for(lambda: agents.look("family")["run"] == 2)
    assert ("family", 1) not in node.living()


def test_a_stopped_unit_stays_stopped_and_a_fatal_one_fatal(agents, node):
    never = {"policy": "on-failure", "max_failures": 0}
    units = [agents.unit("a"), agents.unit("broken", "false", restart=never)]
    agents.start(agents.plan(*units), program=GUARDED)
    agents.reaches("RUNNING", "a")
    agents.reaches("FATAL", "broken")
    agents.tell("node0", "/v1/units", {"command": "stop", "units": ["a"]})
    agents.reaches("STOPPED", "a")
    node.kill_agent()
    assert agents.look("a")["state"] == "STOPPED"
    assert agents.look("broken")["state"] == "FATAL"
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 1}


def test_an_end_that_had_begun_goes_on_with_the_next_agent(agents, node):
    stubborn = ("sh", "-c", 'trap "" TERM; while :; do sleep 0.05; done')
    unit = agents.unit("stubborn", *stubborn, stop={"timeout_s": 4.0})
    agents.start(agents.plan(unit, agents.unit("a")), program=GUARDED)
    agents.reaches("RUNNING", "stubborn")
    agents.signal(signal.SIGTERM)
    agents.reaches("STOPPING", "stubborn")
    os.kill(node.agent, signal.SIGKILL)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


def test_a_signal_that_comes_while_no_agent_lives_is_not_lost(agents, node):
    agents.start(agents.plan(agents.unit("a")), program=GUARDED)
    agents.reaches("RUNNING", "a")
    os.kill(node.agent, signal.SIGKILL)
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


def test_an_agent_that_can_not_start_ends_its_guardian_with_its_status(agents):
    plan = agents.plan(agents.unit("a"))
    plan.write_text("plan: 1\nname: x\n")
    agents.start(plan, program=REAL, wait=False)
    assert agents.ended() == {"node0": 1}
    assert "is missing" in agents.errors()


def test_a_term_to_an_agent_that_only_starts_ends_it(agents):
    agents.start(agents.plan(agents.unit("a")), program=REAL, wait=False)
    agents.signal(signal.SIGTERM)
    assert agents.ended()["node0"] in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert agents.processes_left() == []


def test_a_new_agent_takes_the_place_of_another_at_once_when_asked(agents, node, wait_for):
    agents.start(agents.plan(agents.unit("a")), program=REAL)
    (pid,) = pids(agents, "a")
    before = node.agent
    agents.tell("node0", "/v1/reload", {"agent": True})
    wait_for(lambda: agents.agent() not in (None, before))
    assert pids(agents, "a") == [pid]


def test_neither_probes_nor_drains_keep_an_agent_from_making_way(agents, node, wait_for):
    slow = {"drain": ["sleep", "1000"], "drain_timeout_s": 1000.0}
    units = [agents.listener("ready"), agents.listener("loads", delay=1000, port=30001)]
    agents.start(agents.plan(*units, agents.unit("drains", stop=slow)), program=GUARDED)
    before = pids(agents, "ready", "drains")
    agents.reaches("STARTING", "loads")
    agents.tell("node0", "/v1/units", {"command": "stop", "units": ["drains"]})
    agents.reaches("STOPPING", "drains")
    old = node.agent
    agents.tell("node0", "/v1/reload", {"agent": True})
    wait_for(lambda: agents.agent() not in (None, old))
    assert pids(agents, "ready") == before[:1]
    assert agents.look("drains")["state"] == "STOPPING"
    assert agents.look("drains")["pid"] == before[1]


@pytest.mark.parametrize("now", ["plan: 1\nname: x\n", None], ids=["wrong", "gone"])
def test_a_killed_agent_comes_back_with_the_plan_it_had_whatever_its_file_says_by_now(
    agents, node, now
):
    plan = agents.plan(agents.unit("a"), agents.unit("b"))
    agents.start(plan, program=GUARDED)
    before = pids(agents, "a", "b")
    kept = agents.run_dir / "plan.yaml"
    edited = kept.read_text().replace("small", "other")
    kept.write_text(edited)
    plan.unlink()
    if now is not None:
        plan.write_text(now)
    for _ in range(2):
        node.kill_agent()
    assert pids(agents, "a", "b") == before
    assert kept.read_text() == edited
    agents.tell("node0", "/v1/reload", {"agent": True})
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


def test_an_edited_file_divides_no_cluster_when_an_agent_is_killed(agents, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1", needs=["a"]), nodes=2)
    agents.start(plan, "node0", "node1", program=GUARDED)
    before = [agents.reaches("RUNNING", "a")["pid"], agents.reaches("RUNNING", "b", "node1")["pid"]]
    agents.plan(agents.unit("a"), agents.unit("new"), nodes=2)
    killed = agents.status("node1")["node1"]["agent"]["pid"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: agents.listens("node1"))

    def whole():
        found = agents.status("node0", "?all=1")
        return all(one["agent"]["reachable"] for one in found.values())

    wait_for(whole)
    assert agents.status("node1")["node1"]["agent"]["pid"] != killed
    assert [agents.look("a")["pid"], agents.look("b", "node1")["pid"]] == before
    agents.tell("node0", "/v1/shutdown", {"all": True})
    assert agents.ended("node0", "node1") == {"node0": 0, "node1": 0}


# -- without it -----------------------------------------------------------------------------------


def test_what_guardian_and_agent_left_when_both_were_killed_is_taken_over(agents, node, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("family", "sh", "-c", FAMILY))
    agents.start(plan, program=GUARDED)
    before = pids(agents, "a", "family")
    wait_for(lambda: node.has_family(1), "the family")
    node.kill_both(plan)
    assert pids(agents, "a", "family") == before
    os.kill(before[1], signal.SIGKILL)
    wait_for(lambda: agents.look("family")["run"] == 2)
    assert ("family", 1) not in node.living()
    # Its parents were dead, so nobody learnt how it ended.
    last = agents.look("family")["last_exit"]
    assert (last["code"], last["signal"]) == (None, None)
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


def test_an_agent_whose_guardian_was_killed_goes_on_and_ends_in_order(agents, node, wait_for):
    agents.start(agents.plan(agents.unit("a")), program=GUARDED)
    (pid,) = pids(agents, "a")
    agent = node.agent
    os.kill(node.guardian, signal.SIGKILL)
    agents.processes["node0"].wait(60)
    wait_for(lambda: agents.status()["node0"]["agent"]["guardian_pid"] is None)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: agents.look("a")["run"] == 2)
    os.kill(agent, signal.SIGTERM)
    wait_for(lambda: agents.processes_left() == [])


def test_a_second_agent_is_refused_while_a_guardian_is_about_to_start_the_first_again(
    agents, node, wait_for
):
    plan = agents.plan(agents.unit("a"))
    agents.start(plan, program=GUARDED)
    (pid,) = pids(agents, "a")
    guardian, agent = node.guardian, node.agent
    os.kill(guardian, signal.SIGSTOP)
    os.kill(agent, signal.SIGKILL)
    first = agents.processes.pop("node0")
    agents.start(plan, program=GUARDED, wait=False)
    assert agents.ended() == {"node0": 1}
    assert f"its guardian (pid {guardian}) is restarting it" in agents.errors()
    agents.processes["node0"] = first
    os.kill(guardian, signal.SIGCONT)
    wait_for(lambda: agents.listens("node0"))
    assert pids(agents, "a") == [pid]


def test_units_of_a_plan_of_another_run_are_neither_taken_over_nor_ended(agents, node):
    agents.start(agents.plan(agents.unit("a")), program=GUARDED)
    (before,) = pids(agents, "a")
    agent, guardian = node.agent, node.guardian
    for pid in (guardian, agent):
        os.kill(pid, signal.SIGKILL)
    agents.processes["node0"].wait(60)
    other = agents.plan(agents.unit("a"), agents.unit("b"), name="other.yaml")
    agents.start(other, program=GUARDED, wait=False)
    assert agents.ended() == {"node0": 1}
    said = agents.errors()
    assert "is in use by units of another plan, which the killed agent of node0 left\n" in said
    run = agents.run_dir
    assert f"take them over: pdsup agent {run}/plan.yaml --node node0 --run-dir {run}\n" in said
    assert node.living() == {("a", 1): [before]}


def test_an_agent_that_another_environment_leads_elsewhere_takes_over_all_the_same(
    agents, node, tmp_path
):
    plan = agents.plan(agents.unit("a"))
    agents.start(plan, program=GUARDED)
    (before,) = pids(agents, "a")
    agent, guardian = node.agent, node.guardian
    for pid in (guardian, agent):
        os.kill(pid, signal.SIGKILL)
    agents.processes["node0"].wait(60)
    away = tmp_path / "away"
    away.mkdir()
    agents.environ |= {"XDG_RUNTIME_DIR": str(away), "TMPDIR": str(away)}
    agents.start(plan, program=GUARDED)
    assert pids(agents, "a") == [before]
    assert list(away.iterdir()) == []
    # What ends the agents of a test knows them by their environment.
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}


def test_after_a_reboot_runs_are_numbered_on_from_the_journal(agents, wait_for):
    """Nothing node-local is left then, and none of its processes."""
    plan = agents.plan(agents.unit("a", restart=AT_ONCE), agents.unit("b"))
    agents.start(plan)
    os.kill(agents.reaches("RUNNING", "a")["pid"], signal.SIGKILL)
    wait_for(lambda: agents.look("a")["run"] == 2)
    agents.reaches("RUNNING", "b")
    local = agents.socket().parent.parent
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert not local.exists()
    agents.start(plan)
    found = [agents.reaches("RUNNING", name) for name in ("a", "b")]
    assert [(one["run"], one["restarts"]) for one in found] == [(3, 0), (2, 0)]
    os.kill(found[0]["pid"], signal.SIGKILL)
    wait_for(lambda: agents.look("a")["restarts"] == 1)
    starts = [(one["unit"], one["run"]) for one in agents.journal() if one["to"] == "STARTING"]
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("state", ["Starting", "Running", "Backoff"])
def test_a_line_that_an_agent_was_killed_before_it_wrote_is_written_by_the_next_one(
    agents, node, wait_for, tmp_path, state
):
    plan = agents.plan(agents.unit("other"), agents.unit("a", restart=AT_ONCE))
    killed = tmp_path / "killed"
    agents.start(plan, program=("-c", GUARDED_HASTY, HASTY, state, str(killed)), wait=False)
    wait_for(lambda: agents.socket() and agents.listens("node0"))
    if state == "Backoff":
        os.kill(agents.reaches("RUNNING", "a")["pid"], signal.SIGKILL)
    wait_for(killed.exists)
    wait_for(lambda: agents.agent() is not None, "the next agent")
    pids(agents, "a", "other")
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    lines = agents.journal()
    assert replay(lines, load.load(plan, nodes=None).plan) == len(lines)
    stamps = [line["at"] for line in lines]
    assert stamps == sorted(stamps)


def test_every_step_that_agents_were_killed_before_they_wrote_is_written_in_order(
    agents, node, wait_for, tmp_path
):
    slow = tmp_path / "slow"
    slow.touch()
    plan = agents.plan(*(agents.unit(name, restart=AT_ONCE) for name in ("a", "b")))
    program = ("-c", GUARDED_HASTY, SLOW, str(slow))
    agents.start(plan, program=program)
    for run in (2, 3):
        for pid in pids(agents, "a", "b"):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: [agents.look(each)["run"] for each in ("a", "b")] == [run, run])  # noqa: B023
        pids(agents, "a", "b")
        node.kill_agent() if run == 2 else node.kill_both(plan, program)
    slow.unlink()
    node.kill_agent()
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    lines = agents.journal()
    assert replay(lines, load.load(plan, nodes=None).plan) == len(lines)
    starts = [(each["unit"], each["run"]) for each in lines if each["to"] == "STARTING"]
    assert sorted(starts) == [(unit, run) for unit in ("a", "b") for run in (1, 2, 3)]
    text = (agents.run_dir / "events" / "node0.jsonl").read_text()
    moments = [json.loads(each)["monotonic"] for each in text.splitlines()]
    assert moments == sorted(set(moments))


@pytest.mark.parametrize("left", ["", '{"at": 17'])
def test_what_a_killed_agent_has_told_is_told_once(agents, node, left):
    agents.start(agents.plan(agents.unit("a"), agents.unit("b")), program=GUARDED)
    pids(agents, "a", "b")
    journal = agents.run_dir / "events" / "node0.jsonl"
    agents.journal()  # has everything then
    before = journal.read_text()
    with journal.open("a") as file:
        file.write(left)
    node.kill_agent()
    assert journal.read_text() in (before, before + left)
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    told = journal.read_text().removeprefix(before + left).splitlines()
    states = ["STOPPING", "STOPPING", "STOPPED", "STOPPED"]
    assert [one["to"] for line in told if line and "to" in (one := json.loads(line))] == states


def test_an_agent_goes_on_by_its_command_line_where_the_link_to_its_run_is_gone(agents, node):
    agents.start(agents.plan(agents.unit("a")), program=GUARDED)
    before = pids(agents, "a")
    link = agents.socket().parent.parent / "run"
    link.unlink()
    node.kill_agent()
    assert pids(agents, "a") == before
    assert link.readlink() == agents.run_dir
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}


# -- everything at random -------------------------------------------------------------------------


def test_whatever_is_killed_when_nothing_is_doubled_orphaned_lost_or_restarted_for_nothing(
    agents, node, wait_for
):
    chance = random.Random(os.environ.get("PDSUP_TEST_SEED", "7"))
    names = [f"unit-{index}" for index in range(6)]
    units = [agents.unit(name, restart=AT_ONCE) for name in names[:4]]
    units += [agents.unit(name, "sh", "-c", FAMILY, restart=AT_ONCE) for name in names[4:]]
    plan = agents.plan(*units)
    agents.start(plan, program=forks.eager)
    pids(agents, *names)
    killed: Counter[str] = Counter()

    size = dict.fromkeys(names[:4], 1) | dict.fromkeys(names[4:], 4)

    def as_it_should_be() -> bool:
        """One run of each unit, that with the right number, and each process of it once."""
        found = {run: len(pids) for run, pids in node.living().items()}
        return found == {(unit, killed[unit] + 1): size[unit] for unit in names}

    def kill_units(count: int) -> None:
        for unit in chance.sample(names, count):
            os.kill(node.living()[unit, killed[unit] + 1][0], signal.SIGKILL)
            killed[unit] += 1

    for _ in range(HAPPENINGS):
        match chance.randrange(5):
            case 0:
                kill_units(3)
            case 1:
                node.kill_agent()
            case 2:
                agent = node.agent
                kill_units(2)
                os.kill(agent, signal.SIGKILL)
            case 3:
                agent = node.agent
                os.kill(agent, signal.SIGKILL)
                kill_units(2)
            case 4:
                node.kill_both(plan, forks.eager)
        wait_for(as_it_should_be, "one run of each unit")
        wait_for(lambda: agents.listens("node0"), "an agent")
        wait_for(lambda: all(agents.look(unit)["state"] == "RUNNING" for unit in names), "RUNNING")
        assert as_it_should_be()
    assert {unit: agents.look(unit)["restarts"] for unit in names} == {u: killed[u] for u in names}
    lines = agents.journal()
    assert replay(lines, load.load(plan, nodes=None).plan) == len(lines)
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


# -- directories that vanish with an agent --------------------------------------------------------

# What somebody removes, of the node-local directory or of the run directory.
SWEPT = {
    "node-local": ("pdsup",),
    "ledger": ("pdsup/*/*/ledger",),
    "run link": ("pdsup/*/run",),
    "lock and socket": ("pdsup/*/*/lock", "pdsup/*/*/control.sock"),
    "plans": ("pdsup/*/*/plans",),
}


def sweep(agents, what):
    """Removes files or directories, as systemd-tmpfiles and users do."""
    for pattern in SWEPT.get(what, ()):
        for path in list(agents.runtime.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if what == "run directory":
        shutil.rmtree(agents.run_dir)
    if what == "both":
        sweep(agents, "node-local")
        sweep(agents, "run directory")
    if what == "named pipes":
        for base in (agents.runtime / "pdsup", agents.run_dir):
            for path in base.glob("**/*"):
                if path.is_file() and path.parent.name != "logs":
                    path.unlink()
                    os.mkfifo(path)


def is_file_with(path, text) -> bool:
    return path.is_file() and path.read_text() == text


# A unit that says something whenever it is told to.
SAYS = 'n=0; trap "n=\\$((n + 1)); echo said \\$n" USR1; while :; do sleep 0.02; done'


def test_what_is_removed_while_no_agent_lives_costs_no_unit_as_long_as_the_guardian_does(
    agents, node, wait_for
):
    says = agents.unit("says", "bash", "-c", SAYS, log={"mode": "pipe"})
    plan = agents.plan(agents.unit("a"), agents.unit("stopped"), says)
    agents.start(plan, program=forks.eager)
    pid, saying = pids(agents, "a", "says")
    agents.reaches("RUNNING", "stopped")
    agents.tell("node0", "/v1/units", {"command": "stop", "units": ["stopped"]})
    agents.reaches("STOPPED", "stopped")
    token = (agents.run_dir / "token").read_text()
    plan.unlink()
    log = agents.run_dir / "logs" / "node0_says.out"
    for number, what in enumerate((*SWEPT, "run directory", "both", "named pipes"), 1):
        guardian, agent = node.guardian, node.agent
        os.kill(guardian, signal.SIGSTOP)
        os.kill(agent, signal.SIGKILL)
        sweep(agents, what)
        os.kill(guardian, signal.SIGCONT)
        wait_for(lambda: agents.agent() not in (None, agent), f"an agent after {what}")  # noqa: B023
        assert pids(agents, "a") == [pid], what
        assert [agents.look(unit)["run"] for unit in ("a", "says")] == [1, 1], what
        os.kill(saying, signal.SIGUSR1)
        said = f"said {number}\n"
        wait_for(lambda: log.is_file() and said in log.read_text(), f"the log after {what}")  # noqa: B023
        assert agents.look("stopped")["state"] == "STOPPED", what
        wait_for(lambda: is_file_with(agents.run_dir / "token", token), f"the token after {what}")
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


@pytest.mark.parametrize("what", ["node-local", "both"])
def test_a_new_agent_finds_what_runs_though_nothing_is_left_that_says_so(
    agents, node, wait_for, what
):
    plan = agents.plan(agents.unit("a"), agents.unit("family", "sh", "-c", FAMILY))
    agents.start(plan, program=GUARDED)
    before = pids(agents, "a", "family")
    wait_for(lambda: node.has_family(1), "the family")
    everything = node.living()
    agent = node.agent
    os.kill(node.guardian, signal.SIGKILL)
    os.kill(agent, signal.SIGKILL)
    agents.processes["node0"].wait(60)
    wait_for(lambda: not Path(f"/proc/{agent}").exists(), "the agent's end")
    sweep(agents, what)
    agents.start(plan, program=GUARDED)
    assert pids(agents, "a", "family") == before
    assert node.living() == everything
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: agents.look("a")["run"] == 2)
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []
