"""``pdsup up`` from its start to its end, also the ends nobody wants."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bed.addresses import fresh_address
from tests.system.cluster import PDSUP, ROOT, Cluster, until
from tests.system.load import Load, chat

NEVER_READY = (
    "name: a, command: [sleep, '1000'], ports: {http: 30000}, probes: {startup: {checks: [{port: "
    "http}], period_s: 0.1, timeout_s: 1, deadline_s: 1000}}"
)


def _plan(cluster: Cluster, unit: str, address: str) -> Path:
    """A plan by hand, with one plain unit."""
    path = cluster.home / "plan.yaml"
    path.write_text(
        "plan: 1\nname: by-hand\nbind: address\n"
        f"nodes: [{{name: a, address: {address}}}]\n"
        f"units:\n- {{kind: service, node: a, {unit}}}\n"
    )
    return path


def test_after_shutdown_all_nothing_is_left(cluster: Cluster) -> None:
    cluster.up()
    address = cluster.address("node0")
    done = cluster.command("shutdown", "--all")
    assert done.returncode == 0, done.stderr
    assert cluster.processes() == []
    assert list(cluster.home.glob("pdsup/*/*")) == []
    for port in (8000, 9440, 30000, 30001, 30080):
        with socket.socket() as probe:
            assert probe.connect_ex((address, port)) != 0
    assert cluster.command("status").returncode == 4


def test_a_command_runs_when_all_is_ready_and_its_status_is_the_result(cluster: Cluster) -> None:
    ask = (
        "import os, urllib.request as r;"
        "print(r.urlopen(os.environ['PDSUP_URL'] + '/v1/models').status); raise SystemExit(7)"
    )
    words = ("up", str(cluster.small), "--timeout", "60", "--", sys.executable, "-c", ask)
    done = cluster.command(*words, timeout=120)
    assert done.returncode == 7, done.stderr
    assert done.stdout == "200\n"
    assert cluster.processes() == []


def test_the_record_of_a_command_as_json_is_alone_on_stdout(cluster: Cluster) -> None:
    plan = _plan(cluster, "name: a, command: [sleep, '60']", fresh_address())
    done = cluster.command("up", str(plan), "--json", "--", "echo", "throughput 5")
    found = json.loads(done.stdout)
    assert (found["verdict"], found["command"]) == ("clean", ["echo", "throughput 5"])
    assert "throughput 5" in done.stderr
    assert done.returncode == 0


def test_ctrl_c_stops_everything(cluster: Cluster) -> None:
    process = cluster.start("up", str(cluster.small), "--run-dir", str(cluster.run_dir), "--json")
    until(lambda: cluster.command("wait", "--timeout", "60").returncode == 0, "it is up", 90)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    found = json.loads(said)
    assert (found["outcome"], found["missing"]) == ("reached", [])
    assert found["run_dir"] == str(cluster.run_dir)
    assert found["url"].endswith(":8000")
    assert len(found["status"]["nodes"]) == 2
    assert cluster.processes() == []


def test_ctrl_c_during_the_start_stops_everything_too(cluster: Cluster) -> None:
    process = cluster.start("up", str(cluster.small), "--run-dir", str(cluster.run_dir))
    until(lambda: (cluster.run_dir / "events" / "node0.jsonl").exists(), "units start")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert cluster.processes() == []


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP, signal.SIGQUIT])
def test_any_signal_that_would_end_it_stops_everything_in_order(
    cluster: Cluster, number: int
) -> None:
    plan = _plan(cluster, NEVER_READY, fresh_address())
    process = cluster.start("up", str(plan), "--run-dir", str(cluster.run_dir))
    journal = cluster.run_dir / "events" / "a.jsonl"
    until(lambda: journal.exists() and "STARTING" in journal.read_text(), "its unit starts")
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert cluster.processes() == []
    assert json.loads(journal.read_text().splitlines()[-1])["to"] == "STOPPED"


def test_two_clusters_run_beside_each_other(cluster: Cluster) -> None:
    other = Cluster()
    try:
        cluster.up(cluster.small)
        other.up(other.small)
        assert cluster.address("node0") != other.address("node0")
        chat(cluster.url())
        chat(other.url())
        cluster.command("shutdown", "--all")
        chat(other.url())
    finally:
        other.close()


def test_a_busy_port_8000_is_told_in_one_sentence_that_names_the_holder(cluster: Cluster) -> None:
    address = fresh_address()
    plan = _plan(cluster, "name: front, command: [sleep, '60'], ports: {http: 8000}", address)
    listen = f"import socket; s = socket.create_server(('{address}', 8000)); print(flush=True)"
    command = [sys.executable, "-c", f"{listen}; s.accept()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout and stranger.stdout.readline()
            done = cluster.command("up", str(plan), "--timeout", "30")
        finally:
            stranger.kill()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "port 8000" in line
    assert f"pid {stranger.pid}" in line


def test_a_unit_that_can_never_run_ends_up_with_its_reason(cluster: Cluster) -> None:
    plan = _plan(
        cluster,
        "name: broken, command: [/no/such/program], restart: {max_failures: 1, first_delay_s: 0.0}",
        fresh_address(),
    )
    done = cluster.command("up", str(plan), "--timeout", "30", "--json")
    assert done.returncode == 1
    assert "cannot start: /no/such/program" in done.stderr
    found = json.loads(done.stdout)
    assert (found["outcome"], len(found["missing"]), found["url"]) == ("lost", 1, None)
    assert cluster.processes() == []


def test_a_worker_that_does_not_get_ready_ends_up_with_124_in_time(cluster: Cluster) -> None:
    slow = ("--set", "backend.decode_environment.MOCK_LOAD_SECONDS=600")
    run = ("--run-dir", str(cluster.run_dir))
    done = cluster.command("up", str(cluster.small), "--timeout", "4", *slow, *run, timeout=60)
    assert done.returncode == 124
    assert "not ready within 4 s" in done.stderr
    *_, wrote, then = done.stderr.splitlines()
    assert wrote == "what it wrote: run, with logs in run/logs"
    assert then.startswith("next: pdsup explain decode-0 --run-dir run, ")
    assert cluster.processes() == []
    assert "decode-0" in cluster.command("explain", "decode-0", *run).stdout


def test_a_cluster_that_does_not_get_ready_can_be_kept(cluster: Cluster) -> None:
    plan = _plan(cluster, NEVER_READY, fresh_address())
    run = ("--run-dir", str(cluster.run_dir))
    done = cluster.command("up", str(plan), "--timeout", "2", "--keep", *run)
    assert done.returncode == 124
    assert done.stderr.splitlines()[-1] == (
        "left running (--keep): pdsup shutdown --all --run-dir run ends it"
    )
    assert cluster.units()["a"]["state"] == "STARTING"
    assert cluster.command("shutdown", "--all", *run).returncode == 0


def test_a_killed_up_leaves_a_cluster_that_can_still_be_shut_down(cluster: Cluster) -> None:
    process = cluster.start("up", str(cluster.small), "--run-dir", str(cluster.run_dir))
    until(lambda: cluster.command("wait", "--timeout", "60").returncode == 0, "it is up", 90)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert cluster.command("shutdown", "--all").returncode == 0
    assert cluster.processes() == []


def test_the_demo_runs_as_the_readme_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "tutorial" / "demo.py")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PATH": f"{Path(PDSUP).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_shutdown_all_ends_what_a_killed_agent_left(cluster: Cluster) -> None:
    cluster.up(cluster.small)
    agent = next(n["agent"]["pid"] for n in cluster.status()["nodes"] if n["node"] == "node1")
    os.kill(agent, signal.SIGKILL)
    done = cluster.command("shutdown", "--all")
    assert done.returncode == 0, done.stderr
    assert cluster.processes() == []
    assert list(cluster.home.glob("pdsup/*/*")) == []


def test_whatever_agents_are_killed_no_unit_notices_and_requests_go_on(cluster: Cluster) -> None:
    cluster.up()
    before = {name: unit["pid"] for name, unit in cluster.units().items()}
    with Load(cluster.url(), clients=4) as load:
        for node in cluster.status()["nodes"]:
            os.kill(node["agent"]["pid"], signal.SIGKILL)
        assert cluster.command("status").returncode in (0, 3)
        assert cluster.command("wait", "--timeout", "60").returncode == 0
        enough = load.answered + 50
        until(lambda: load.answered > enough or load.failures, "answers")
    assert load.failures == []
    assert {name: unit["pid"] for name, unit in cluster.units().items()} == before
    os.kill(before["decode-0"], signal.SIGKILL)
    until(lambda: cluster.units()["decode-0"]["run"] == 2, "its next run")
    assert cluster.units()["decode-0"]["last_exit"]["signal"] == "SIGKILL"
    assert cluster.command("wait", "--timeout", "60").returncode == 0
