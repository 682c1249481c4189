"""The demo recipe, brought up with real routers and real nginx, and used as a user would."""

from __future__ import annotations

import json
import os
import re
import signal

import pytest

from tests.system.cluster import Cluster, until
from tests.system.load import Load, chat

NAMES = {
    *("prefill-0", "prefill-1", "decode-0", "decode-1"),
    *("router-0", "router-1", "router-2", "router-3", "nginx"),
}


def test_a_request_through_port_8000_is_answered_at_once_after_up_returns(demo: Cluster) -> None:
    assert b"choices" in chat(demo.url())


def test_a_stream_through_port_8000_arrives_whole(demo: Cluster) -> None:
    text = chat(demo.url(), tokens=32, stream=True).decode()
    pieces = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert len(pieces) >= 32


def test_status_prints_a_line_per_unit_like_supervisorctl(demo: Cluster) -> None:
    done = demo.command("status")
    assert done.returncode == 0
    rows = [
        re.match(r"(\S+) +RUNNING +pid \d+, uptime \d", line) for line in done.stdout.splitlines()
    ]
    assert {row[1] for row in rows if row} == NAMES


def test_status_of_all_nodes_and_of_this_machine_name_the_same_units(demo: Cluster) -> None:
    here = json.loads(demo.command("status", "--json").stdout)
    assert {unit["name"] for node in here["nodes"] for unit in node["units"]} == set(demo.units())


def test_each_node_runs_what_the_plan_gives_it(demo: Cluster) -> None:
    units = demo.units()
    assert {name: unit["node"] for name, unit in units.items()} == {
        "prefill-0": "node0",
        "prefill-1": "node1",
        "decode-0": "node2",
        "decode-1": "node3",
        "router-0": "node0",
        "router-1": "node1",
        "router-2": "node2",
        "router-3": "node3",
        "nginx": "node0",
    }


def test_wait_returns_at_once_when_everything_is_ready(demo: Cluster) -> None:
    assert demo.command("wait", "--timeout", "60").returncode == 0


def test_wait_for_what_does_not_come_ends_with_124_and_names_it(demo: Cluster) -> None:
    done = demo.command("wait", "--for", "stopped", "decode-0", "--timeout", "0.3")
    assert done.returncode == 124
    assert "decode-0" in done.stderr


def test_logs_shows_what_a_worker_of_another_node_wrote(demo: Cluster) -> None:
    done = demo.command("logs", "decode-1", "-n", "1000")
    assert done.returncode == 0
    assert "decode-1 run 1 begins" in done.stdout.splitlines()[0]


def test_log_files_have_the_names_that_analysis_tools_look_for(demo: Cluster) -> None:
    names = {path.name for path in (demo.run_dir / "logs").iterdir()}
    assert {"node0_prefill_w0.out", "node3_decode_w1.out", "node2_router_2.out"} <= names
    assert "node0_nginx.out" in names


@pytest.mark.parametrize("name", ["decode-1", "prefill-1", "router-2", "nginx"])
def test_a_killed_unit_comes_back_and_status_shows_it_meanwhile(demo: Cluster, name: str) -> None:
    before = demo.units()[name]
    os.kill(before["pid"], signal.SIGKILL)
    until(lambda: demo.units()[name]["last_exit"] is not None, f"{name} is seen to be gone")
    assert demo.units()[name]["last_exit"]["signal"] == "SIGKILL"
    assert demo.command("wait", "--timeout", "60").returncode == 0
    after = demo.units()[name]
    assert after["run"] == before["run"] + 1
    assert after["restarts"] == before["restarts"] + 1
    assert after["pid"] != before["pid"]
    chat(demo.url())


def test_a_router_killed_under_streams_costs_at_most_the_requests_it_carried(demo: Cluster) -> None:
    clients = 8
    router = demo.units()["router-1"]
    with Load(demo.url(), clients=clients, tokens=16, stream=True) as load:
        until(lambda: load.answered > 2 * clients, "the load runs")
        os.kill(router["pid"], signal.SIGKILL)
        assert demo.command("wait", "--timeout", "60").returncode == 0
        enough = load.answered + 4 * clients
        until(lambda: load.answered > enough, "requests go on")
    assert len(load.failures) <= clients, load.failures


def test_requests_go_on_while_a_decode_worker_is_down(demo: Cluster) -> None:
    worker = demo.units()["decode-0"]
    with Load(demo.url(), clients=4) as load:
        until(lambda: load.answered > 8, "the load runs")
        os.kill(worker["pid"], signal.SIGKILL)
        until(lambda: demo.units()["decode-0"]["run"] > worker["run"], "it starts again")
        assert demo.command("wait", "--timeout", "60").returncode == 0
    # The router tries another worker, so at most what hung on the dead one is lost.
    assert len(load.failures) <= 4, load.failures


def test_nginx_does_not_send_to_a_router_that_is_gone(demo: Cluster) -> None:
    router = demo.units()["router-3"]
    conf = demo.run_dir / "nginx" / "nginx.conf"
    address = demo.address("node3")
    assert f"{address}:30080" in conf.read_text()
    os.kill(router["pid"], signal.SIGKILL)
    until(lambda: f"{address}:30080" not in conf.read_text(), "it is out of nginx.conf")
    assert demo.command("wait", "--timeout", "60").returncode == 0
    until(lambda: f"{address}:30080" in conf.read_text(), "it is in nginx.conf again")


def test_every_change_of_state_is_a_line_of_the_journal(demo: Cluster) -> None:
    def first() -> list[str]:
        lines = (demo.run_dir / "events" / "node0.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return [event["to"] for event in events if event["unit"] == "prefill-0"][:2]

    until(lambda: first() == ["STARTING", "RUNNING"], "both steps are written")
