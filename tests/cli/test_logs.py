"""``pdsup logs``."""

import os
import signal

import pytest

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
@pytest.mark.parametrize(("number", "count"), [("0", 0), ("1", 1), ("2", 2), ("99", 6), ("-1", 0)])
def test_logs_show_as_many_lines_from_the_end_as_asked_for(pdsup, number, count):
    assert len(pdsup("logs", "worker", "-n", number).stdout.splitlines()) == count


def test_logs_go_on_across_a_restart_of_the_unit(talking, pdsup_goes_on, wait_for):
    following = pdsup_goes_on("logs", "-f", "-n", "1", "worker")
    wait_for(lambda: following.said.read_text() == "line 5\n")
    os.kill(talking.reaches("RUNNING", "worker")["pid"], signal.SIGKILL)
    wait_for(lambda: following.said.read_text().count("line 5\n") == 2)
    said = following.said.read_text().splitlines()
    assert "run 2" in said[1]
    assert said[2:] == [f"line {i}" for i in range(1, 6)]
    following.send_signal(signal.SIGINT)
    assert following.wait(10) == 130


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
