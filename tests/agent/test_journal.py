"""The journal's lines."""

import json

import pytest

from supervisor.agent import journal
from supervisor.units import lifecycle
from supervisor.units.facts import Transition
from supervisor.units.lifecycle import ExitStatus

WAITING = lifecycle.Waiting(0, "waits for etcd")
STARTING = lifecycle.Starting(2, float("inf"), 0)
RUNNING = lifecycle.Running(2, 5.0, 0)
STOPPING = lifecycle.Stopping(2, 20.0, lifecycle.Then.REST, 0, "stop requested")


def written(event, before, after):
    text = journal.line(Transition("decode-0", event, before, after), "node2", 1.7e9, 12.3456789)
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.parametrize(
    ("event", "before", "after", "run", "reason"),
    [
        (lifecycle.Start(), lifecycle.Stopped(), WAITING, None, "waits for etcd"),
        (lifecycle.GateChanged(), WAITING, STARTING, 2, ""),
        (lifecycle.BecameReady(2), STARTING, RUNNING, 2, ""),
        (lifecycle.SpawnFailed(2, "x"), STARTING, lifecycle.Backoff(9.0, 1, "x"), 2, "x"),
        (lifecycle.Tick(), WAITING, lifecycle.Waiting(0, "port", 9.0), None, "port"),
        (lifecycle.LostReadiness(2, "503"), RUNNING, lifecycle.Unhealthy(2, 9, 0, "503"), 2, "503"),
        (lifecycle.Stop(), RUNNING, STOPPING, 2, "stop requested"),
        (lifecycle.Exited(2, ExitStatus(0)), STOPPING, lifecycle.Stopped(), 2, ""),
        (lifecycle.Exited(2, ExitStatus(None, "SIGKILL")), RUNNING,
         lifecycle.Backoff(9.0, 1, "killed by SIGKILL"), 2, "killed by SIGKILL"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_line_names_what_happened_to_which_run_and_why(event, before, after, run, reason):
    line = written(event, before, after)
    assert (line["unit"], line["node"], line["run"]) == ("decode-0", "node2", run)
    assert (line["from"], line["to"]) == (lifecycle.public(before), lifecycle.public(after))
    assert (line["event"]["type"], line["reason"]) == (type(event).__name__, reason)
    assert (line["at"], line["monotonic"]) == (1.7e9, 12.345679)


def test_an_exit_is_told_with_its_status():
    event = lifecycle.Exited(2, ExitStatus(None, "SIGSEGV"))
    line = written(event, RUNNING, lifecycle.Backoff(9.0, 1, "x"))
    assert line["event"] == {
        "type": "Exited", "run": 2, "status": {"code": None, "signal": "SIGSEGV"},
    }  # fmt: skip


@pytest.mark.parametrize("text", ["naïve 推論", "two\nlines", "\udcff", "\x00"])
def test_any_text_stays_on_one_line(text):
    line = written(lifecycle.LostReadiness(2, text), RUNNING, lifecycle.Unhealthy(2, 9, 0, text))
    assert line["reason"] == text
