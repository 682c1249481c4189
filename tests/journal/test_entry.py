"""The journal's lines."""

import json

import pytest

from pdsup.journal import entry
from pdsup.journal.entry import Happening
from pdsup.plan.model import Restart
from pdsup.units import codec, events, lifecycle, states
from pdsup.units.facts import Transition
from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import FOREVER

CONTEXT = lifecycle.Context(
    now=12.5, next_run=3, gate=None, restart=Restart(), ready_within=FOREVER, stop_within=15.0
)
WAITING = states.Waiting((), "waits for etcd")
STARTING = states.Starting(2, float("inf"), ())
RUNNING = states.Running(2, 5.0, ())
STOPPING = states.Stopping(2, 20.0, states.Then.REST, (), "stop requested")


def written(event, before, after):
    step = Transition("decode-0", event, before, after, CONTEXT)
    text = entry.line(step, "node2", 1.7e9).text
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.parametrize(
    ("event", "before", "after", "run", "reason"),
    [
        (events.Start(), states.Stopped(), WAITING, None, "waits for etcd"),
        (events.GateChanged(), WAITING, STARTING, 2, ""),
        (events.BecameReady(2), STARTING, RUNNING, 2, ""),
        (events.SpawnFailed(2, "x"), STARTING, states.Backoff(9.0, (0.0,), "x"), 2, "x"),
        (events.Tick(), WAITING, states.Waiting((), "port", 9.0), None, "port"),
        (events.LostReadiness(2, "503"), RUNNING, states.Unhealthy(2, 9, (), "503"), 2, "503"),
        (events.Stop(), RUNNING, STOPPING, 2, "stop requested"),
        (events.Exited(2, ExitStatus(0)), STOPPING, states.Stopped(), 2, ""),
        (events.Exited(2, ExitStatus(None, "SIGKILL")), RUNNING,
         states.Backoff(9.0, (0.0,), "killed by SIGKILL"), 2, "killed by SIGKILL"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_line_names_what_happened_to_which_run_and_why(event, before, after, run, reason):
    line = written(event, before, after)
    assert (line["unit"], line["node"], line["run"]) == ("decode-0", "node2", run)
    assert (line["from"], line["to"]) == (states.public(before), states.public(after))
    assert (line["event"]["type"], line["reason"]) == (type(event).__name__, reason)
    assert (line["at"], line["monotonic"]) == (1.7e9, 12.5)
    assert codec.state(line["state"]) == after
    assert codec.event(line["event"]) == event
    assert codec.read_context(line["context"], 12.5, CONTEXT.restart) == CONTEXT


def test_an_exit_is_told_with_its_status():
    event = events.Exited(2, ExitStatus(None, "SIGSEGV"))
    line = written(event, RUNNING, states.Backoff(9.0, (0.0,), "x"))
    assert line["event"] == {
        "type": "Exited", "run": 2, "status": {"code": None, "signal": "SIGSEGV"},
        "cause": "", "hopeless": False, "last_words": "",
    }  # fmt: skip


def test_a_line_of_what_changes_no_state_names_it_and_has_no_states():
    facts = {"upstreams": ["router-0"], "joined": [], "left": ["router-1"]}
    reload = Happening(12.5, "nginx", 3, "Reloaded", "1 router, router-1 out", facts)
    text = entry.line(reload, "node0", 1.7e9).text
    assert text.endswith("\n")
    assert json.loads(text) == {
        "at": 1.7e9, "monotonic": 12.5, "node": "node0", "unit": "nginx", "run": 3,
        "event": {"type": "Reloaded", **facts}, "reason": "1 router, router-1 out",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["naïve 推論", "two\nlines", "\udcff", "\x00"])
def test_any_text_stays_on_one_line(text):
    line = written(events.LostReadiness(2, text), RUNNING, states.Unhealthy(2, 9, (), text))
    assert line["reason"] == text


def test_a_line_that_is_far_too_long_is_none():
    value = {"at": 1.0, "node": "n", "event": {"type": "Start"}}
    assert entry.parse(json.dumps(value)) is not None
    assert entry.parse(json.dumps(value | {"reason": "a" * entry.MOST_BYTES})) is None
