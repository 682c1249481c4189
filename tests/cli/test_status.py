"""``pdsup status`` and how any verb finds its cluster."""

import functools
import json
import signal
import subprocess
import sys

import pytest

from tests.bed.agents import wait_for as until

FAST = {"first_delay_s": 0.01, "delay_s": 0.01, "factor": 1.0, "max_failures": 0}


@pytest.fixture(scope="module")
def cluster(shared_agents):
    """A good unit on each of two nodes, and on the second one a unit that can't be run."""
    agents = shared_agents
    plan = agents.plan(
        agents.unit("good"),
        agents.unit("done", "true", restart={"policy": "never"}),
        agents.unit("fine", node="node1"),
        agents.unit("broken", "false", node="node1", restart=FAST),
        nodes=2,
    )
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "good")
    agents.reaches("EXITED", "done")
    agents.reaches("RUNNING", "fine", "node1")
    agents.reaches("FATAL", "broken", "node1")
    until(lambda: agents.status(query="?all=1")["node1"]["agent"]["reachable"], "node1 is heard")


@pytest.fixture
def status(cluster, pdsup_shared):
    return functools.partial(pdsup_shared, "status")


def test_status_shows_a_line_for_each_unit_of_the_agents_here(status):
    done = status()
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("good", "RUNNING", "node0"), ("done", "EXITED", "node0"), ("fine", "RUNNING", "node1"),
        ("broken", "FATAL", "node1"),
    ]  # fmt: skip
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], 3), (["--all"], 3), (["good"], 0), (["--all", "good", "fine"], 0), (["done"], 0),
        (["broken"], 3), (["no-such-unit"], 4), (["good", "b*", "c*"], 4), (["--no-such"], 2),
    ],
    ids=str,
)  # fmt: skip
def test_the_exit_status_tells_whether_the_units_run(status, words, expected):
    done = status(*words)
    assert done.returncode == expected
    assert bool(done.stdout) is (expected in (0, 3))


@pytest.mark.parametrize("words", [[], ["--all"], ["good"], ["broken"]], ids=str)
def test_json_is_one_value_and_nothing_else(status, words):
    done = status("--json", *words)
    found = json.loads(done.stdout)
    assert {"cluster", "plan", "nodes"} <= found.keys()
    assert (found["cluster"], done.stderr) == ("small", "")


def test_a_unit_that_does_not_exist_is_named(status):
    done = status("--json", "good", "nono")
    assert done.stdout == ""
    assert "cannot show nono: no such unit; there are " in done.stderr


ALL = "there are good, done, fine, broken"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["status", "god"], "cannot show god: no such unit; did you mean good?"),
        (["wait", "god"], "cannot wait for god: no such unit; did you mean good?"),
        (["stop", "god"], "cannot stop god: no such unit; did you mean good?"),
        (["explain", "god"], "cannot explain god: no such unit; did you mean good?"),
        (["explain", "nono"], f"cannot explain nono: no such unit; {ALL}"),
        (["logs", "nono"], f"cannot show logs of nono: no such unit; {ALL}"),
        (["logs", "god"], "cannot show logs of god: no such unit; did you mean good?"),
        (
            ["status", "god", "broke"],
            f"cannot show god, broke: no such unit; {ALL}",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_a_unit_that_was_meant_perhaps_is_named(cluster, pdsup_shared, words, told):
    done = pdsup_shared(*words)
    assert (done.returncode, done.stdout, done.stderr) == (4, "", f"pdsup: {told}\n")


@pytest.mark.parametrize(
    "words",
    [["status", "--all"], ["status", "--json"], ["wait", "good"], ["logs", "good"]],
    ids=str,
)
def test_an_answer_needs_nothing_of_what_a_server_imports(cluster, shared_agents, words):
    heavy = {"aiohttp", "asyncio", "http.client", "jinja2", "psutil", "pydantic", "structlog",
             "uvloop", "yaml"}  # fmt: skip
    if words[0] == "status":  # it is asked for most often, and by scripts
        heavy |= {"dataclasses", "datetime", "hashlib", "inspect", "random", "shutil", "subprocess",
                  "tempfile", "textwrap"}  # fmt: skip
    script = (
        "import sys; from pdsup.cli.main import main\n"
        f"main({words!r})\n"
        f"print('imported:', *({heavy!r} & sys.modules.keys()))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=shared_agents.environ, capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert said.splitlines()[-1] == "imported:"


NOWHERE = "no run is active on this machine; pdsup up FILE starts one"


def test_without_an_agent_there_is_nothing_to_ask(pdsup):
    done = pdsup("status", "--json")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"pdsup: cannot show the status: {NOWHERE}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["explain", "a"], "cannot explain a: "), (["logs", "a"], "cannot show logs of a: "),
        (["stop", "a", "b"], "cannot stop a, b: "), (["shutdown"], "cannot shut down: "),
        (["status", "--watch"], "cannot watch the status: "), (["events"], "cannot show events: "),
        (["web"], "cannot link to the live page: "),
        (["reload", "--agent"], "cannot reload agents: "),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("named", [False, True])
def test_without_an_agent_it_is_told_what_can_not_be_done(pdsup, tmp_path, words, told, named):
    other = tmp_path / "other"
    done = pdsup(*words, *(["--run-dir", str(other)] if named else []))
    assert (done.returncode, done.stdout) == (4, "")
    cause = f"no such directory: {other}" if named else NOWHERE
    assert done.stderr == f"pdsup: {told}{cause}\n"


def test_an_agent_that_was_killed_is_shown_as_such_while_another_lives_to_tell(
    agents, pdsup, wait_for
):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    for name, node in (("a", "node0"), ("b", "node1")):
        agents.reaches("RUNNING", name, node)
        agents.journal(node)  # an agent gathers lines for a moment before it writes them
    agents.signal(signal.SIGKILL, "node0")
    agents.ended("node0")
    assert agents.socket("node0").exists()
    states = {"b": "RUNNING", "a": "UNKNOWN"}
    wait_for(
        lambda: dict(line.split()[:2] for line in pdsup("status").stdout.splitlines()) == states
    )
    agents.signal(signal.SIGKILL, "node1")
    agents.ended("node1")
    done = pdsup("status")
    assert done.returncode == 3
    assert (
        "is without agents, they were killed on node0, node1, and 2 units still run ("
        in done.stderr
    )
    assert dict(line.split()[:2] for line in done.stdout.splitlines()) == {
        "a": "UNKNOWN", "b": "UNKNOWN",
    }  # fmt: skip
    assert "was RUNNING; its agent was killed" in done.stdout


def test_one_of_several_runs_must_be_chosen_for_a_change_and_the_newest_is_shown(
    agents, pdsup, tmp_path
):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    first, second = tmp_path / "run-1", tmp_path / "run-2"
    for agents.run_dir, node in ((first, "node0"), (second, "node1")):
        agents.start(plan, node)
    for words in (["wait"], ["restart", "b"], ["shutdown"], ["reload"], ["signal", "HUP", "b"]):
        done = pdsup(*words)
        assert (done.returncode, done.stdout) == (2, "")
        head, *lines = done.stderr.splitlines()
        assert head.endswith(": 2 runs are active; choose one with --run-dir:")
        assert [line.split()[-1] for line in lines] == [str(first), str(second)]
    newest = f"pdsup: 2 runs are active; this is the newest, in {second} (--run-dir chooses"
    for words in (["status"], ["logs", "b"], ["explain", "b"]):
        done = pdsup(*words)
        assert "b" in done.stdout
        assert done.stderr.startswith(newest)
    assert pdsup("status", "--run-dir", str(first)).stdout.split()[0] == "a"
    agents.environ["PDSUP_RUN_DIR"] = str(second)
    assert pdsup("status").stdout.split()[0] == "b"
    assert pdsup("status", "--run-dir", "run-1", cwd=tmp_path).stdout.split()[0] == "a"


def test_a_node_that_is_gone_is_unknown_to_the_others(agents, pdsup, wait_for):
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "b", "node1")
    wait_for(lambda: pdsup("status", "--all").returncode == 0)
    agents.signal(signal.SIGKILL, "node1")
    agents.ended("node1")
    done = wait_for(lambda: (d := pdsup("status", "--all", "b")) and "UNKNOWN" in d.stdout and d)
    assert done.returncode == 3
    assert "was RUNNING; cannot reach its agent" in done.stdout
