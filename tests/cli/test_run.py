"""``pdsup run``."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest


@pytest.fixture
def cluster(agents, wait_for):
    """A worker on each of two nodes, up, as the first of them knows."""
    plan = agents.plan(agents.unit("a"), agents.unit("b", node="node1"), nodes=2)
    agents.start(plan, "node0", "node1")
    agents.reaches("RUNNING", "a")
    wait_for(lambda: agents.status(query="?all=1")["node1"]["units"][0]["state"] == "RUNNING")
    return agents


def record(agents):
    return json.loads((agents.run_dir / "run.json").read_text())


def kills(agents, unit, node):
    """A benchmark that kills a unit, and ends when that is back."""
    pid = agents.look(unit, node)["pid"]
    again = f"{sys.executable} -m pdsup wait --timeout 60"
    journal = agents.run_dir / "events" / f"{node}.jsonl"
    return ["sh", "-c", f"kill -9 {pid}; until grep -q SIGKILL {journal}; do :; done; {again}"]


def test_a_benchmark_that_nothing_disturbed_is_clean_and_recorded(cluster, pdsup):
    script, begin = 'echo "$PDSUP_RUN_DIR"; exit 7', time.time()
    done = pdsup("run", "--require-clean", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (7, f"{cluster.run_dir}\n")
    assert done.stderr.startswith("clean: nothing happened in ")
    found = record(cluster)
    assert (found["verdict"], found["status"], found["incidents"]) == ("clean", 7, [])
    assert (found["cluster"], found["command"]) == ("small", ["sh", "-c", script])
    assert begin <= found["began"] <= found["ended"] <= time.time()


def test_a_verdict_that_can_not_be_recorded_is_told_all_the_same(cluster, pdsup):
    (cluster.run_dir / "run.json").unlink(missing_ok=True)
    (cluster.run_dir / "run.json").mkdir()
    try:
        done = pdsup("run", "--", "sh", "-c", "exit 7")
    finally:
        (cluster.run_dir / "run.json").rmdir()
    assert done.returncode == 7
    problem, verdict = done.stderr.splitlines()
    assert problem == f"pdsup: cannot write {cluster.run_dir}/run.json: Is a directory"
    assert verdict.startswith("clean: nothing happened in ")


@pytest.mark.parametrize(("words", "expected"), [([], 0), (["--require-clean"], 3)])
def test_a_benchmark_during_which_a_unit_died_is_tainted(cluster, pdsup, words, expected):
    done = pdsup("run", *words, "--", *kills(cluster, "b", "node1"))
    assert done.returncode == expected
    assert "tainted: 1 incident in " in done.stderr
    (incident,) = record(cluster)["incidents"]
    assert (incident["kind"], incident["unit"], incident["node"]) == ("restart", "b", "node1")
    assert incident["what"] == "killed by SIGKILL"
    assert record(cluster)["began"] <= incident["began"] <= incident["ended"]


def test_a_unit_that_froze_and_whose_probes_have_not_noticed_taints_the_benchmark(agents, pdsup):
    """They ask seldom and want many bad answers. The unit is on another node than the first."""
    rare = {"checks": [{"tree": ""}], "period_s": 3000.0, "failures": 100, "timeout_s": 5.0}
    frozen = agents.unit("b", node="node1", probes={"liveness": rare})
    plan = agents.plan(agents.unit("a"), frozen, nodes=2)
    agents.start(plan, "node0", "node1")
    pid = agents.reaches("RUNNING", "b", "node1")["pid"]
    stopped = f"until grep -q 'State:.T' /proc/{pid}/status; do :; done"
    script = f"kill -STOP {pid}; {stopped}; exit 124"
    done = pdsup("run", "--require-clean", "--", "sh", "-c", script)
    os.kill(pid, signal.SIGCONT)
    first, second = done.stderr.splitlines()[-2:]
    assert done.returncode == 3
    assert first.startswith("tainted: 1 incident in ")
    assert first.endswith(", and the command ended with 124")
    assert "b (node1) was unhealthy for " in second
    assert second.endswith(f": its process {pid} (sleep) is stopped (state T)")
    (incident,) = record(agents)["incidents"]
    assert incident["began"] < record(agents)["ended"]


def test_a_benchmark_during_which_an_agent_was_lost_is_tainted(cluster, pdsup):
    agent = cluster.processes["node1"].pid
    gone = f'until ! {sys.executable} -m pdsup status --all --json | grep -q "reachable.: false"'
    script = f"kill -9 {agent}; {gone.replace('until !', 'until')}; do :; done"
    done = pdsup("run", "--", "sh", "-c", script)
    assert done.returncode == 0
    assert "node1 did not answer for " in done.stderr
    incidents = record(cluster)["incidents"]
    assert [one for one in incidents if one["kind"] != "node"] == []
    assert incidents


def test_a_benchmark_during_which_nginx_lost_a_router_is_tainted_by_its_reloads(agents, pdsup):
    agents.start(agents.plan(*agents.front()))
    restart = f"{sys.executable} -m pdsup restart router-1; {sys.executable} -m pdsup wait"
    done = pdsup("run", "--", "sh", "-c", restart)
    assert done.returncode == 0, done.stderr
    assert "nginx (node0) was reloaded: 1 router, router-1 out" in done.stderr
    found = [(one["kind"], one["unit"]) for one in record(agents)["incidents"]]
    assert found[:2] == [("restart", "router-1"), ("reload", "nginx")]


def test_the_record_as_json_is_alone_on_stdout(cluster, pdsup):
    done = pdsup("run", "--json", "--", "echo", "throughput 5")
    found = json.loads(done.stdout)
    assert (found["verdict"], found["command"]) == ("clean", ["echo", "throughput 5"])
    assert done.stderr == "throughput 5\n"


def test_earlier_benchmarks_of_a_run_are_kept(cluster, pdsup):
    for word in ("one", "two", "three"):
        assert pdsup("run", "--", "true", word).returncode == 0
    found = record(cluster)
    assert found["command"] == ["true", "three"]
    assert [one["command"][1] for one in found["earlier"]] == ["one", "two"]
    assert all("earlier" not in one for one in found["earlier"])


def test_a_benchmark_waits_until_all_is_ready(agents, pdsup_goes_on, wait_for):
    agents.start(agents.plan(agents.listener("slow", delay=1000.0)))
    run = pdsup_goes_on("run", "--", "true")
    wait_for(lambda: "ready: service 0/1" in run.said.read_text())
    with socket.create_server((agents.addresses["node0"], 30000)):
        assert run.wait(60) == 0
    assert record(agents)["verdict"] == "clean"


def test_a_cluster_that_does_not_get_ready_in_time_runs_nothing(agents, pdsup):
    agents.start(agents.plan(agents.listener("slow", delay=1000.0)))
    done = pdsup("run", "--timeout", "0.2", "--", "touch", str(agents.directory / "ran"))
    assert done.returncode == 124
    assert "cannot run touch: not ready within" in done.stderr
    assert not (agents.directory / "ran").exists()


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "RTMIN"])
def test_a_signal_that_would_end_it_is_passed_on_and_the_benchmark_is_recorded(
    shared_agents, name, tmp_path, wait_for
):
    """Without a terminal INT and QUIT reach it alone too."""
    number, said = signal.Signals[f"SIG{name}"], tmp_path / "said"
    if not shared_agents.processes:
        shared_agents.start(shared_agents.plan(shared_agents.unit("a")))
        shared_agents.reaches("RUNNING", "a")
    default = f"import signal; signal.signal({number}, signal.SIG_DFL)"
    script = f"{default}; print('going', flush=True); signal.pause()"
    with said.open("w") as out, subprocess.Popen(
        [sys.executable, "-m", "pdsup", "run", "--", sys.executable, "-c", script],
        env=shared_agents.environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
        start_new_session=True, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as benchmark:  # fmt: skip
        wait_for(lambda: "going" in said.read_text())
        benchmark.send_signal(number)
        assert benchmark.wait(60) == 128 + number
    assert record(shared_agents)["status"] == 128 + number
    assert record(shared_agents)["passed_on"] == [number.name]


def test_a_benchmark_hears_ctrl_c_as_it_would_without_pdsup(cluster, pdsup_goes_on):
    script = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    benchmark = pdsup_goes_on("run", "--", sys.executable, "-c", script)
    assert benchmark.wait(60) == 0
    assert benchmark.said.read_text().startswith("True\n")


@pytest.mark.parametrize("words", [[], ["--"]])
def test_a_run_of_nothing_is_wrong_usage_where_the_recipe_has_no_sweep(cluster, pdsup, words):
    done = pdsup("run", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "its recipe has no sweep" in done.stderr


def test_a_benchmark_that_can_not_be_started_is_named(cluster, pdsup):
    done = pdsup("run", "--", "/no/such/program")
    assert (done.returncode, done.stderr) == (
        1, "pdsup: cannot run /no/such/program: No such file or directory\n"
    )  # fmt: skip
    assert not (cluster.run_dir / "run.json").exists()
