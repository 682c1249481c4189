"""The command line as users run it, and real agents for it to talk to."""

import functools
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

values = runpy.run_path(str(Path(__file__).parents[1] / "agent" / "conftest.py"))
agents, shared_agents, wait_for = (
    values[name] for name in ("agents", "shared_agents", "_wait_for")
)


def run(agents, *words, text=True, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *words],
        env=agents.environ, capture_output=True, text=text, timeout=30, check=False,
        stdin=subprocess.DEVNULL, cwd=cwd,
    )  # fmt: skip


@pytest.fixture
def pdsup(agents):
    """Runs a command to its end, among the agents of this test."""
    return functools.partial(run, agents)


@pytest.fixture
def pdsup_shared(shared_agents):
    """Runs a command to its end, among the agents that the tests of a file share."""
    return functools.partial(run, shared_agents)


@pytest.fixture
def pdsup_goes_on(agents, tmp_path):
    """Runs a command that does not end by itself; its output is in the file ``said``."""
    running = []

    def start(*words):
        path = tmp_path / f"said-{len(running)}"
        with path.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor", *words],
                env=agents.environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                # Ignored here when these tests run in the background of a shell.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
        process.said = path
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait(10)


@pytest.fixture
def earlier_run(agents):
    """Leaves behind what a run of the same plan has whose unit took so long to be ready."""

    def leave(unit, seconds):
        earlier = agents.directory / "small-1"
        (earlier / "events").mkdir(parents=True)
        (earlier / "plan.yaml").write_text("plan: 1\nname: small\n")
        with (earlier / "events" / "node0.jsonl").open("w") as journal:
            for at, before, to in ((0, "STOPPED", "STARTING"), (seconds, "STARTING", "RUNNING")):
                raw = {"at": at, "node": "node0", "unit": unit, "run": 1, "event": "Tick",
                       "from": before, "to": to}  # fmt: skip
                journal.write(json.dumps(raw) + "\n")

    return leave


@pytest.fixture
def unit():
    """A unit of the status JSON."""

    def make(name="decode-0", state="RUNNING", **changes):
        given = {
            "name": name, "kind": "worker", "role": "decode", "node": "node2", "rank": 0,
            "gang": None, "state": state, "ready": state == "RUNNING", "pid": None, "run": 1,
            "restarts": 0, "since": None, "uptime_s": None, "ports": {}, "gpus": [], "reason": "",
            "last_exit": None, "gpu_use": None,
        }  # fmt: skip
        return {**given, **changes}

    return make


@pytest.fixture
def utc(monkeypatch):
    """Local times are the same on every machine."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def golden():
    """Compares a screen with the one that was looked at; PDSUP_GOLDEN=write takes a new one."""

    def compare(name, lines):
        path = Path(__file__).with_name("golden") / f"{name}.txt"
        text = "".join(f"{line}\n" for line in lines)
        if os.environ.get("PDSUP_GOLDEN") == "write":
            path.write_text(text)
        assert path.read_text() == text

    return compare
