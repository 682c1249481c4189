"""Agents are killed while their units write: no byte of a log is lost, doubled or moved."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from pdsup.units.logs import files
from tests.agent.test_takeover import Node
from tests.bed import forks

# Half of them write to their log themselves, the others through a pipe; the figures to prove are
# 50 units and 10 kills.
UNITS = int(os.environ.get("PDSUP_TEST_LOG_UNITS", "4"))
KILLS = int(os.environ.get("PDSUP_TEST_LOG_KILLS", "4"))
WRITES = Path(__file__).parents[1] / "units" / "logs" / "writes.py"
MODES = [
    {"mode": "direct"},
    {"mode": "pipe"},
    {"mode": "direct"},
    {"mode": "pipe", "max_bytes": 1 << 20, "keep": 1000, "timestamps": True},
]
SPEAKS_LAST = """
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: [os.write(1, b"x" * 99_999 + b"\\n"), os._exit(3)])
os.write(1, b"up\\n")
while True:
    signal.pause()
"""


@pytest.fixture
def node(agents, wait_for):
    return Node(agents, wait_for)


@pytest.fixture
def guard(agents):
    """Starts a guarded agent, which is started again at once whenever it is killed."""
    return lambda *units: agents.start(agents.plan(*units), program=forks.eager)


def log_of(agents, unit) -> bytes:
    """All parts of a unit's log, the oldest first."""
    path = agents.run_dir / "logs" / f"node0_{unit}.out"
    ages = files.ages(path.name, (entry.name for entry in path.parent.iterdir()))
    parts = [Path(files.aged(str(path), age)) for age in sorted(ages, reverse=True)]
    return b"".join(part.read_bytes() for part in parts)


@pytest.mark.timeout(600)
def test_no_line_is_lost_doubled_or_moved_however_often_the_agent_is_killed(
    agents, node, guard, tmp_path
):
    units = {f"unit-{number}": MODES[number % len(MODES)] for number in range(UNITS)}

    def unit(name, log):
        size = "0" if log["mode"] == "direct" else random.choice(("0", "3001"))
        command = (sys.executable, "-S", str(WRITES), name, size, str(tmp_path / name))
        return agents.unit(name, *command, log=log, stop={"timeout_s": 60.0})

    guard(*(unit(name, log) for name, log in units.items()))
    before = {name: agents.reaches("RUNNING", name)["pid"] for name in units}
    for _ in range(KILLS):
        node.kill_agent()
        until = time.monotonic() + random.uniform(0.0, 0.3)
        while time.monotonic() < until:
            time.sleep(0.001)
    assert {name: agents.look(name)["pid"] for name in units} == before
    agents.signal(signal.SIGTERM)
    assert agents.processes["node0"].wait(60) == 0
    total = 0
    for name in units:
        marker, _, text = log_of(agents, name).partition(b"\n")
        assert marker.endswith(f" {name} run 1 begins".encode())
        count = int((tmp_path / name).read_text())
        assert text == b"".join(b"%s %d\n" % (name.encode(), number) for number in range(count))
        total += count
    print(f"{len(units)} units wrote {total} lines, {KILLS} agents were killed")


def test_what_a_unit_says_last_is_not_lost_when_it_ends_while_no_agent_is_there(
    agents, node, guard, wait_for
):
    guard(agents.unit("a", sys.executable, "-S", "-c", SPEAKS_LAST, log={"mode": "pipe"}))
    pid = agents.reaches("RUNNING", "a")["pid"]
    wait_for(lambda: log_of(agents, "a").endswith(b"up\n"))
    os.kill(node.agent, signal.SIGKILL)
    wait_for(lambda: any(path.endswith("/output/a") for path in opened(node.guardian)))
    os.kill(pid, signal.SIGUSR1)
    wait_for(lambda: agents.listens("node0") and agents.look("a")["run"] == 2)
    _, up, words, second, *_ = log_of(agents, "a").splitlines()
    assert (up, len(words)) == (b"up", 99_999)
    assert second.endswith(b" a run 2 begins, after: exited with status 3")


def opened(pid) -> list[str]:
    """What a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return found
