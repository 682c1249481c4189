"""States and events survive being written as JSON."""

import json
from typing import get_args

import pytest

from pdsup.units import codec, events, states
from pdsup.units.process.exit import ExitStatus
from pdsup.units.states import FOREVER, Then

STATES = [
    states.Stopped(),
    states.Waiting((1.5, 2.0), "port 1 is held by 推論", 5.0),
    states.Starting(3, FOREVER, (), 9.0),
    states.Running(3, 5.0, (1.0,)),
    states.Unhealthy(3, 5.0, (), "HTTP 503"),
    states.Draining(3, 5.0, Then.RESTART, (), "restart requested"),
    states.Stopping(3, 5.0, Then.RETRY, (1.0,), "x", 2, "alive: pid 7"),
    states.Backoff(5.0, (1.0,), "x", "its last words"),
    states.Ended(ExitStatus(0)),
    states.Fatal((1.0,), "x"),
]
EVENTS = [
    events.Start(),
    events.Exited(3, ExitStatus(None, "SIGKILL"), "CUDA out of memory", hopeless=True),
    events.LostReadiness(3, "HTTP 503"),
]


def test_a_failure_of_0_1_0_is_read_without_last_words_of_its_own():
    text = '{"type": "Backoff", "until": 5.0, "failures": [1.0], "reason": "killed: x"}'
    assert codec.state(json.loads(text)) == states.Backoff(5.0, (1.0,), "killed: x")


def test_every_kind_of_state_is_tried():
    assert {type(state) for state in STATES} == set(get_args(states.State))


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
def test_a_state_is_read_as_it_was_written(state):
    text = json.dumps(codec.tagged(state), allow_nan=False)
    assert codec.state(json.loads(text)) == state


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_read_as_it_was_written(event):
    text = json.dumps(codec.tagged(event), allow_nan=False)
    assert codec.event(json.loads(text)) == event


@pytest.mark.parametrize(
    "value",
    [{}, {"type": "Asleep"}, {"type": "Running"}, {"type": "Running", "run": 1, "left": 2}],
    ids=str,
)
def test_what_another_version_wrote_is_refused_and_not_guessed(value):
    with pytest.raises(ValueError, match="of this version"):
        codec.state(value)
