"""``pdsup logs``."""

import json
import os
import re
import signal
import sys
from datetime import UTC, datetime

import pytest

from tests.bed.agents import wait_for

TALKING = ("sh", "-c", 'for i in 1 2 3 4 5; do echo "line $i"; done; exec sleep 1000')


@pytest.fixture
def talking(agents, wait_for):
    agents.start(agents.plan(agents.unit("worker", *TALKING)))
    log = agents.run_dir / "logs" / "node0_worker.out"
    wait_for(lambda: log.exists() and "line 5" in log.read_text())
    return agents


@pytest.mark.usefixtures("talking")
@pytest.mark.parametrize("verb", ["logs", "tail"])
def test_logs_show_the_output_of_a_unit(pdsup, verb):
    done = pdsup(verb, "worker")
    assert done.stdout.splitlines()[1:] == [f"line {i}" for i in range(1, 6)]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("talking")
@pytest.mark.parametrize("width", [80, 160])
def test_logs_look_as_they_were_looked_at_on_any_terminal(screen, golden, width):
    """What a unit wrote is shown as it is."""
    lines = screen("logs", "worker", "-n", "6", columns=width)
    golden("logs", [re.sub(r"[-0-9]+T[0-9:]+Z", "2026-11-23T12:00:00Z", line) for line in lines])


@pytest.mark.usefixtures("talking")
@pytest.mark.parametrize(("number", "count"), [("0", 0), ("1", 1), ("2", 2), ("99", 6), ("-1", 0)])
def test_logs_show_as_many_lines_from_the_end_as_asked_for(pdsup, number, count):
    assert len(pdsup("logs", "worker", "-n", number).stdout.splitlines()) == count


@pytest.mark.usefixtures("talking")
def test_logs_as_json_are_one_value(pdsup, agents):
    done = pdsup("logs", "worker", "-n", "2", "--json")
    assert json.loads(done.stdout) == {
        "unit": "worker",
        "path": str(agents.run_dir / "logs" / "node0_worker.out"),
        "lines": [{"at": None, "text": "line 4"}, {"at": None, "text": "line 5"}],
    }


def test_logs_that_are_followed_as_json_are_one_value_for_each_whole_line(
    agents, pdsup_goes_on, wait_for
):
    command = r"printf 'whole\nbegun'; until [ -e go ]; do sleep 0.02; done; printf ' \377\n'"
    there = str(agents.directory)
    agents.start(agents.plan(agents.unit("worker", "sh", "-c", f"cd {there}; {command}; sleep 99")))
    log = agents.run_dir / "logs" / "node0_worker.out"
    wait_for(lambda: log.exists() and "begun" in log.read_text())
    following = pdsup_goes_on("logs", "worker", "-f", "--json")
    wait_for(lambda: "whole" in following.said.read_text())
    assert "begun" not in following.said.read_text()
    (agents.directory / "go").touch()
    wait_for(lambda: "begun" in following.said.read_text())
    lines = [json.loads(line) for line in following.said.read_text().splitlines()]
    assert lines[1:] == [{"at": None, "text": "whole"}, {"at": None, "text": "begun \ufffd"}]


def test_logs_go_on_across_a_restart_of_the_unit(talking, pdsup_goes_on, wait_for):
    following = pdsup_goes_on("logs", "-f", "-n", "1", "worker")
    wait_for(lambda: following.said.read_text() == "line 5\n")
    os.kill(talking.reaches("RUNNING", "worker")["pid"], signal.SIGKILL)
    wait_for(lambda: following.said.read_text().count("line 5\n") == 2)
    said = following.said.read_text().splitlines()
    assert "run 2" in said[1]
    assert said[2:] == [f"line {i}" for i in range(1, 6)]
    following.send_signal(signal.SIGINT)
    assert following.wait(60) == 130


def test_logs_follow_a_file_that_was_cut(talking, pdsup_goes_on, wait_for):
    log = talking.run_dir / "logs" / "node0_worker.out"
    following = pdsup_goes_on("logs", "-f", "-n", "1", "worker")
    wait_for(lambda: following.said.read_text() == "line 5\n")
    os.kill(talking.reaches("RUNNING", "worker")["pid"], signal.SIGKILL)
    wait_for(lambda: following.said.read_text().count("line 5\n") == 2)
    log.write_text("new\n")
    wait_for(lambda: following.said.read_text().endswith("new\n"))


def test_logs_of_a_unit_of_another_node_are_shown_too(agents, pdsup, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("b", *TALKING, node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    log = agents.run_dir / "logs" / "node1_b.out"
    wait_for(lambda: log.exists() and "line 5" in log.read_text())
    agents.signal(signal.SIGKILL, "node1")
    agents.ended("node1")
    assert pdsup("logs", "b", "-n", "1").stdout == "line 5\n"


def test_logs_of_a_unit_that_has_not_run_say_so(agents, pdsup):
    plan = agents.plan(agents.unit("a", needs=["b"]), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0")
    done = pdsup("logs", "a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "pdsup: cannot show logs of a: it has not run yet\n"


@pytest.mark.usefixtures("talking")
@pytest.mark.parametrize("name", ["nono", "../worker", "ü", "a b", ""])
def test_logs_of_a_unit_that_does_not_exist_are_not_there(pdsup, name):
    done = pdsup("logs", name)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)


def test_logs_pass_on_bytes_that_are_no_text(agents, pdsup, wait_for):
    command = ("sh", "-c", r"printf '\377\200\n'; exec sleep 1000")
    agents.start(agents.plan(agents.unit("worker", *command)))
    log = agents.run_dir / "logs" / "node0_worker.out"
    wait_for(lambda: log.exists() and log.read_bytes().endswith(b"\xff\x80\n"))
    assert pdsup("logs", "worker", "-n", "1", text=False).stdout == b"\xff\x80\n"


ROTATING = {"mode": "pipe", "max_bytes": 65536, "keep": 100, "timestamps": True}
COUNTING = (
    "import itertools, time\n"
    "for number in itertools.count():\n"
    "    print(number, 'x' * 90, flush=True)\n"
    "    time.sleep(0.02 * (number % 50 == 0))\n"
)


@pytest.fixture
def counting(agents, wait_for):
    """A unit whose log is rotated again and again."""
    command = (sys.executable, "-S", "-u", "-c", COUNTING)
    agents.start(agents.plan(agents.unit("worker", *command, log=ROTATING)))
    agents.log = agents.run_dir / "logs" / "node0_worker.out"
    wait_for(lambda: agents.log.with_name(f"{agents.log.name}.2").exists())
    return agents


def numbers(text):
    return [int(line.split()[0]) for line in text.splitlines() if not line.startswith("===")]


def test_logs_go_on_across_rotation_and_restarts_without_a_gap(counting, pdsup_goes_on, wait_for):
    following = pdsup_goes_on("logs", "-f", "-n", "1000000", "worker")
    parts = counting.log.with_name
    wait_for(lambda: parts(f"{counting.log.name}.4").exists())
    os.kill(counting.reaches("RUNNING", "worker")["pid"], signal.SIGKILL)
    wait_for(lambda: "run 2 begins" in following.said.read_text())
    wait_for(lambda: following.said.read_text().split("run 2 begins")[1].count("\n") > 1000)
    following.terminate()
    following.wait(60)
    first, second = following.said.read_text().split(" run 2 begins, after: killed by SIGKILL\n")
    first = first.rpartition("\n")[0]
    for run in (first, second.rpartition("\n")[0]):
        assert numbers(run) == list(range(len(numbers(run))))
        assert len(numbers(run)) > 1000


def test_logs_tell_when_each_line_arrived(pdsup, counting):
    done = pdsup("logs", "worker", "-n", "1500", "--timestamps")
    lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert 100 <= len(lines) < 2000  # it goes on meanwhile
    assert [int(line[1]) for line in lines if line[1] != "==="] == sorted(
        int(line[1]) for line in lines if line[1] != "==="
    )
    times = [datetime.fromisoformat(line[0]) for line in lines]
    assert times == sorted(times)
    start = datetime.fromtimestamp(counting.journal()[0]["at"], UTC)
    assert start < times[0] < times[-1] < datetime.now(UTC)
    values = json.loads(pdsup("logs", "worker", "-n", "5", "--json").stdout)["lines"]
    assert [one["at"] for one in values] == sorted(one["at"] for one in values)
    assert times[0].timestamp() <= values[0]["at"] <= datetime.now(UTC).timestamp()


@pytest.mark.usefixtures("talking")
def test_logs_have_no_times_unless_the_plan_wants_them(pdsup):
    done = pdsup("logs", "worker", "--timestamps")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "pdsup: cannot show timestamps of worker: its plan does not set log.timestamps\n"
    )


def test_a_log_that_can_not_be_written_is_told_in_the_status_and_by_the_agent(agents, wait_for):
    plan = agents.plan(agents.unit("worker", *TALKING, log={"file": "blocked/worker.out"}))
    (agents.run_dir / "logs").mkdir(parents=True)
    (agents.run_dir / "logs" / "blocked").write_text("a file where the directory should be")
    agents.start(plan)
    problem = "cannot write its log: Not a directory"
    wait_for(lambda: agents.reaches("RUNNING", "worker")["reason"] == problem)
    assert agents.errors().count(problem) == 1
    (agents.run_dir / "logs" / "blocked").unlink()
    wait_for(lambda: agents.reaches("RUNNING", "worker")["reason"] == "")
    log = agents.run_dir / "logs" / "blocked" / "worker.out"
    assert log.read_text().splitlines()[1:] == [f"line {i}" for i in range(1, 6)]


def test_what_a_unit_says_when_it_is_stopped_is_in_a_log_that_goes_through_a_pipe(agents, wait_for):
    command = ("sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")
    agents.start(agents.plan(agents.unit("worker", *command, log={"mode": "pipe"})))
    log = agents.run_dir / "logs" / "node0_worker.out"
    wait_for(lambda: log.exists() and log.read_text().endswith("up\n"))
    agents.signal(signal.SIGTERM)
    agents.ended()
    assert log.read_text().splitlines()[1:] == ["up", "bye"]


ACCESS = '"GET /health HTTP/1.1" 200'
SAYING = "import sys, time; print(sys.argv[1], flush=True); time.sleep(1000)"


@pytest.fixture(scope="module")
def several(shared_agents):
    """Two units whose lines have times, one of them with lines about probes, and an agent's log."""
    texts = {
        "decode-0": f"[2126-11-28 12:00:00] one\n  more\n[2126-11-28 12:00:02] {ACCESS}\n"
        "[2126-11-28 12:00:02] three",
        "decode-1": "[2126-11-28 12:00:01] two\n[2126-11-28 12:00:03] four",
    }
    probes = {"progress": {"noise": ["GET /health"]}}
    units = [
        shared_agents.unit(name, sys.executable, "-c", SAYING, text, probes=probes)
        for name, text in texts.items()
    ]
    plan = shared_agents.plan(*units, shared_agents.unit("late", needs=["decode-0"]))
    shared_agents.start(plan)
    for name, text in texts.items():
        log = shared_agents.run_dir / "logs" / f"node0_{name}.out"
        wait_for(lambda log=log, text=text: log.exists() and text in log.read_text())
    (shared_agents.run_dir / "logs" / "node0_agent.out").write_text("hello\n")


SINCE = ("--since", "2126-11-28T12:00:01")


@pytest.mark.usefixtures("several")
def test_lines_of_several_units_are_in_order_of_time_behind_their_names(pdsup_shared):
    done = pdsup_shared("logs", "decode-*", "-n", "4")
    assert (
        done.stdout.splitlines()[-6:]
        == [
            "decode-0 | [2126-11-28 12:00:00] one",
            "decode-0 |   more",
            "decode-1 | [2126-11-28 12:00:01] two",
            "decode-0 | [2126-11-28 12:00:02] three",
            "decode-1 | [2126-11-28 12:00:03] four",
        ][-6:]
        or done.stdout
    )
    assert done.stderr == "pdsup: 1 line about probes is left out; --noise shows it\n"


@pytest.mark.usefixtures("several")
def test_lines_about_probes_are_shown_if_wanted_and_in_json(pdsup_shared):
    done = pdsup_shared("logs", "decode-0", "-n", "2", "--noise")
    assert (done.stdout.count(ACCESS), done.stderr) == (1, "")
    lines = json.loads(pdsup_shared("logs", "decode-0", "-n", "2", "--json").stdout)["lines"]
    assert ACCESS in lines[0]["text"]


@pytest.mark.usefixtures("several")
def test_logs_are_shown_since_a_time(pdsup_shared):
    done = pdsup_shared("logs", "decode-0", "decode-1", *SINCE)
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["two", "three", "four"]
    assert pdsup_shared("logs", "decode-0", "--since", "2126-11-28 13:00").stdout == ""
    done = pdsup_shared("logs", "decode-0", "--since", "yesterday")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "pdsup: cannot show logs of decode-0: --since yesterday: give 5m, 14:30 or "
        "2026-11-28T14:30\n"
    )


@pytest.mark.usefixtures("several")
def test_logs_of_several_units_as_json_are_one_value(pdsup_shared):
    found = json.loads(pdsup_shared("logs", "decode-1", "late", "-n", "1", "--json").stdout)
    assert [one["unit"] for one in found["logs"]] == ["decode-1", "late"]
    text = {"at": None, "text": "[2126-11-28 12:00:03] four"}
    assert found["logs"][0]["lines"] == [text]


@pytest.mark.usefixtures("several")
def test_the_log_of_an_agent_is_shown_by_its_node(pdsup_shared):
    assert pdsup_shared("logs", "agent@node0").stdout == "hello\n"
    done = pdsup_shared("logs", "agent@node1")
    assert (done.returncode, "writes to stderr" in done.stderr) == (4, True)


def test_several_units_are_followed_also_one_that_runs_later(agents, pdsup_goes_on, wait_for):
    command = "until [ -e go ]; do sleep 0.02; done; echo ready; exec sleep 99"
    there = str(agents.directory)
    first = agents.unit("a", "sh", "-c", f"cd {there}; echo begun; {command}")
    agents.start(agents.plan(first, agents.unit("b", "sh", "-c", "echo hello; exec sleep 99")))
    agents.reaches("RUNNING", "b")
    log = agents.run_dir / "logs" / "node0_b.out"
    wait_for(lambda: log.exists() and "hello" in log.read_text())
    log.unlink()
    following = pdsup_goes_on("logs", "a", "b", "-f")
    wait_for(lambda: "a | begun" in following.said.read_text())
    log.write_text("anew\n")
    (agents.directory / "go").touch()
    wait_for(lambda: "a | ready\n" in following.said.read_text())
    wait_for(lambda: "b | anew\n" in following.said.read_text())
