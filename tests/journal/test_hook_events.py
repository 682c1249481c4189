"""Which events of hooks there are in what happens."""

import json
import typing

import pytest

from pdsup.journal import entry, hook_events
from pdsup.journal.entry import Happening
from pdsup.plan.model import HookEvent, Restart
from pdsup.units import events, lifecycle, states
from pdsup.units.facts import Transition
from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import FOREVER

CONTEXT = lifecycle.Context(
    now=12.5, next_run=3, gate=None, restart=Restart(), ready_within=FOREVER, stop_within=15.0
)
WAITING = states.Waiting((), "waits for etcd")
FIRST, SECOND = states.Starting(1, FOREVER, ()), states.Starting(2, FOREVER, ())
RUNNING = states.Running(2, 5.0, ())
UNHEALTHY = states.Unhealthy(2, 9.0, (), "HTTP 503")
BACKOFF, FATAL = states.Backoff(9.0, (1.0,), "killed"), states.Fatal((1.0,), "gave up")
STOPPING = states.Stopping(2, 20.0, states.Then.REST, (), "stop requested")


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [
        (states.Stopped(), WAITING, None), (WAITING, FIRST, None), (WAITING, SECOND, "restart"),
        (FIRST, RUNNING, "ready"), (RUNNING, UNHEALTHY, "unhealthy"), (UNHEALTHY, RUNNING, "ready"),
        (RUNNING, BACKOFF, "down"), (BACKOFF, SECOND, "restart"), (BACKOFF, FATAL, "fatal"),
        (RUNNING, states.Ended(ExitStatus(0)), "exited"), (RUNNING, STOPPING, None),
        (STOPPING, states.Stopped(), None),
        (WAITING, states.Waiting((), "waits for nats"), None),
    ],
)  # fmt: skip
def test_a_step_is_an_event_by_where_it_leads(before, after, event):
    assert hook_events.event(Transition("a", events.Tick(), before, after, CONTEXT)) == event


def test_whatever_else_happens_is_an_event_unless_somebody_asked_for_it():
    kinds = typing.get_type_hints(Happening)["event"]
    found = {
        hook_events.event(Happening(1.0, "a", 1, what, "why"))
        for kind in typing.get_args(kinds)
        for what in (typing.get_args(kind) or (kind,))
    }
    steps = {"ready", "unhealthy", "down", "restart", "fatal", "exited"}
    assert found | steps == {*typing.get_args(HookEvent), None}
    assert hook_events.event(Happening(1.0, "a", 1, "Requested", "why")) is None


def test_a_hook_gets_the_entry_of_the_journal_with_its_event_and_the_cluster():
    step = Transition("a", events.Tick(), BACKOFF, FATAL, CONTEXT)
    told = entry.line(step, "node0", 1.7e9).text
    text = hook_events.text("fatal", "demo", told)
    assert text.endswith(b"}\n")
    assert text.count(b"\n") == 1
    assert json.loads(text) == {"hook": "fatal", "cluster": "demo", **json.loads(told)}
