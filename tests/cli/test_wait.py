"""``pdsup wait``."""

import json
import signal
import socket

import pytest

from pdsup.cli import wait
from pdsup.cli.screens.progress import is_up, missing
from pdsup.cli.screens.waiting import WaitLines
from pdsup.cli.terminal.fold import folded
from pdsup.cli.wait import Outcome, Wait
from pdsup.errors import NothingThere

FAST = {"first_delay_s": 0.01, "delay_s": 0.01, "factor": 1.0, "max_failures": 0}


def test_a_wait_for_what_runs_already_returns_at_once_and_is_silent(agents, pdsup):
    agents.start(agents.plan(agents.unit("worker")))
    agents.reaches("RUNNING", "worker")
    done = pdsup("wait")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_wait_names_what_is_missing_and_since_when_until_it_is_there(
    agents, pdsup_goes_on, wait_for
):
    plan = agents.plan(
        agents.unit("router", needs=["worker"]),
        agents.listener("worker", node="node1", delay=1000.0),
        nodes=2,
    )
    agents.start(plan, "node0", "node1")
    wait_for(lambda: "STARTING on node1" in agents.look("router")["reason"])
    waiting = pdsup_goes_on("wait")
    missing = "ready: service 0/2\n  worker (node1) STARTING for "
    wait_for(lambda: waiting.said.read_text().startswith(missing))
    with socket.create_server((agents.addresses["node1"], 30000)):
        assert waiting.wait(60) == 0


def test_a_wait_estimates_by_an_earlier_run_of_the_same_plan(
    agents, earlier_run, pdsup_goes_on, wait_for
):
    earlier_run("worker", 6000)
    agents.start(agents.plan(agents.listener("worker", delay=1000.0)))
    agents.reaches("STARTING", "worker")
    waiting = pdsup_goes_on("wait")
    wait_for(lambda: ", about 1 h 39 min" in waiting.said.read_text())


def test_a_wait_covers_the_whole_cluster_from_any_node(agents, pdsup_goes_on, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node1")
    waiting = pdsup_goes_on("wait")
    wait_for(lambda: "a (node0) UNKNOWN" in waiting.said.read_text())
    agents.start(plan, "node0")
    assert waiting.wait(60) == 0


def test_a_wait_that_can_not_be_reached_any_more_ends_and_says_why(agents, pdsup):
    plan = agents.plan(agents.unit("broken", "false", restart=FAST), agents.unit("sound"))
    agents.start(plan)
    agents.reaches("FATAL", "broken")
    done = pdsup("wait", "--timeout", "30")
    assert done.returncode == 1
    assert "broken (node0) FATAL" in done.stderr
    assert "sound" not in done.stderr
    assert pdsup("wait", "sound").returncode == 0


def test_a_wait_for_a_unit_that_was_stopped_ends_and_says_what_starts_it(agents, pdsup):
    agents.start(agents.plan(agents.unit("a"), agents.unit("b")))
    for name in "ab":
        agents.reaches("RUNNING", name)
    assert pdsup("stop", "a").returncode == 0
    for words in (("a",), ()):
        done = pdsup("wait", *words)
        assert (done.returncode, done.stdout) == (1, "")
        told = "a is STOPPED, so the cluster can't become ready; pdsup start a starts it"
        assert f"pdsup: gave up waiting: {told}\n" in done.stderr
    assert pdsup("wait", "b").returncode == 0


@pytest.mark.parametrize(
    ("last", "known", "lost"),
    [
        (None, None, False),
        ({"code": 0, "signal": None, "at": 1.0}, None, True),
        (None, "stop", True),
        (None, "start", False),
    ],
)
def test_a_unit_that_is_stopped_before_its_first_run_may_be_about_to_start(unit, last, known, lost):
    command = known and {"verb": known, "by": "by ann", "at": 1.0}
    stopped = unit(state="STOPPED", last_exit=last, last_command=command)
    assert wait._stays_down(stopped) is lost


def test_a_benchmark_that_failed_is_lost_and_one_that_ended_well_is_up(agents, pdsup):
    once = {"policy": "never"}
    plan = agents.plan(
        agents.unit("bad", "false", restart=once), agents.unit("good", "true", restart=once)
    )
    agents.start(plan)
    agents.reaches("EXITED", "bad")
    agents.reaches("EXITED", "good")
    assert pdsup("wait", "good").returncode == 0
    assert pdsup("wait", "bad").returncode == 1


@pytest.mark.parametrize("seconds", ["0", "0.3"])
def test_a_wait_that_takes_too_long_ends_with_124_and_names_what_is_missing(agents, pdsup, seconds):
    agents.start(agents.plan(agents.listener("worker", delay=1000.0)))
    done = pdsup("wait", "--timeout", seconds)
    assert (done.returncode, done.stdout) == (124, "")
    assert "worker (node0) STARTING for " in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("width", [80, 160])
def test_what_a_wait_says_looks_as_it_was_looked_at(unit, golden, width):
    """To a file a line for each change, however long; at the end it is told on the terminal."""
    now = 10_000.0
    units = [
        unit("prefill-0", role="prefill"),
        unit("decode-0", "BACKOFF", since=now - 61, reason="killed by SIGKILL", restarts=2),
        unit("decode-1", "STARTING", node="node3", since=now - 750,
             reason="not ready yet: 10.128.64.103:30000/health: HTTP 503 Service Unavailable"),
        unit("router-0", "WAITING", kind="router", role=None, reason="waits for decode-0"),
    ]  # fmt: skip
    said = []
    watcher = Wait(None, (), "running", WaitLines(said.append, is_up))
    watcher.missing = missing(units, is_up, now, 8, {"decode": 900.0})
    WaitLines(said.append, is_up).show((), ["no agent answers yet"])
    WaitLines(said.append, is_up).show(units, watcher.missing)
    end = f"pdsup: gave up waiting: {watcher.why(Outcome.TIMED_OUT)}".split("\n")
    golden(f"wait-{width}", [*"\n".join(said).split("\n"), *folded(end, width)])


def test_a_wait_that_has_no_time_says_everything_once(pdsup):
    done = pdsup("wait", "--timeout", "0")
    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr == "pdsup: gave up waiting: not ready within 0 s\n  no agent answers yet\n"


def test_a_wait_without_an_agent_takes_its_time_too(pdsup):
    done = pdsup("wait", "--timeout", "0.2")
    assert done.returncode == 124
    assert "no agent answers yet" in done.stderr


def test_a_wait_begins_before_the_first_agent(agents, pdsup_goes_on, wait_for):
    waiting = pdsup_goes_on("wait")
    wait_for(lambda: "no agent answers yet" in waiting.said.read_text())
    agents.start(agents.plan(agents.unit("worker")))
    assert waiting.wait(60) == 0


def test_a_wait_for_an_agent_that_goes_away_is_lost(agents, pdsup_goes_on, wait_for):
    agents.start(agents.plan(agents.listener("worker", delay=1000.0)))
    waiting = pdsup_goes_on("wait")
    wait_for(lambda: "worker" in waiting.said.read_text())
    agents.signal(signal.SIGKILL)
    assert waiting.wait(60) == 1
    assert "the cluster was stopped meanwhile" in waiting.said.read_text()


@pytest.fixture
def ended(agents, pdsup):
    """The directory of a run that has ended in order."""
    agents.start(agents.plan(agents.unit("a")))
    agents.reaches("RUNNING", "a")
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    return str(agents.run_dir)


@pytest.mark.parametrize("verb", [("wait",), ("run", "--", "true")])
def test_a_wait_for_a_run_that_has_ended_says_so_and_ends(ended, pdsup, verb):
    done = pdsup(verb[0], "--run-dir", ended, *verb[1:])
    assert (done.returncode, done.stdout) == (1, "")
    assert f"small in {ended} ended " in done.stderr
    assert pdsup("wait", "--for", "stopped", "--run-dir", ended).returncode == 0


@pytest.mark.parametrize("verb", [("wait",), ("wait", "--for", "stopped"), ("run", "--", "true")])
def test_a_wait_for_a_directory_that_does_not_exist_says_so_and_ends(pdsup, tmp_path, verb):
    at = verb.index("--") if "--" in verb else len(verb)
    done = pdsup(*verb[:at], "--run-dir", str(tmp_path / "nosuch"), *verb[at:])
    assert (done.returncode, done.stdout) == (4, "")
    assert f"no such directory: {tmp_path}/nosuch" in done.stderr


@pytest.mark.parametrize("what", ["empty", "full", "a file"])
def test_a_wait_for_what_is_no_run_directory_says_so_and_ends(pdsup, tmp_path, what):
    path = tmp_path / "odd"
    if what == "a file":
        path.touch()
    else:
        path.mkdir()
    if what == "full":
        (path / "notes.txt").touch()
    done = pdsup("wait", "--run-dir", str(path))
    assert (done.returncode, done.stdout) == (4, "")
    assert f"pdsup: cannot wait for running: {path} is not a run directory" in done.stderr


def test_a_wait_for_agents_that_never_come_ends_in_the_end(monkeypatch, unit):
    monkeypatch.setattr(wait, "NEVER_S", 0.0)
    watcher = Wait(None, (), "running", WaitLines(lambda _: None, is_up))
    monkeypatch.setattr(watcher, "_agent", nobody)
    assert watcher.watch(None) is Outcome.TIMED_OUT
    assert "no agent has answered within" in watcher.why(Outcome.TIMED_OUT)


def nobody():
    raise NothingThere("no run is active")


def test_a_wait_for_a_unit_that_does_not_exist_ends_at_once(agents, pdsup):
    agents.start(agents.plan(agents.unit("worker")))
    done = pdsup("wait", "nono")
    assert done.returncode == 4
    assert "cannot wait for nono: no such unit; there are " in done.stderr


def test_a_wait_for_the_end_returns_when_the_units_have_stopped(agents, pdsup_goes_on, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    wait_for(lambda: agents.status(query="?all=1")["node1"]["units"][0]["state"] == "RUNNING")
    waiting = pdsup_goes_on("wait", "--for", "stopped")
    wait_for(lambda: "still up: 2" in waiting.said.read_text())
    agents.tell("node0", "/v1/shutdown", {"all": True})
    assert waiting.wait(60) == 0


def test_a_wait_for_the_end_of_one_node_returns_while_the_others_go_on(
    agents, pdsup_goes_on, wait_for
):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    wait_for(lambda: agents.status(query="?all=1")["node1"]["units"][0]["state"] == "RUNNING")
    waiting = pdsup_goes_on("wait", "--for", "stopped", "b")
    wait_for(lambda: "still up: 1" in waiting.said.read_text())
    agents.tell("node1", "/v1/shutdown", {"all": False})
    assert waiting.wait(60) == 0
    assert agents.look("a")["state"] == "RUNNING"


def test_a_wait_for_the_end_without_an_agent_is_over(pdsup):
    assert pdsup("wait", "--for", "stopped").returncode == 0


@pytest.mark.parametrize("words", [["--for", "later"], ["--timeout", "soon"]])
def test_a_wait_that_makes_no_sense_is_wrong_usage(pdsup, words):
    assert pdsup("wait", *words).returncode == 2


@pytest.mark.parametrize(
    ("unit", "status", "outcome"),
    [("sound", 0, "reached"), ("broken", 1, "lost"), ("slow", 124, "timed_out")],
)
def test_the_outcome_as_json_is_one_value_with_what_is_missing(
    agents, pdsup, unit, status, outcome
):
    plan = agents.plan(
        agents.unit("broken", "false", restart=FAST), agents.unit("sound"),
        agents.listener("slow", delay=1000.0),
    )  # fmt: skip
    agents.start(plan)
    agents.reaches("FATAL", "broken")
    done = pdsup("wait", "--json", "--timeout", "0.2", unit)
    found = json.loads(done.stdout)
    assert (done.returncode, found["outcome"], found["goal"]) == (status, outcome, "running")
    assert [line.split()[0] for line in found["missing"]] == ([] if status == 0 else [unit])
