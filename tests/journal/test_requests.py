"""How reasons and events say who asked for what."""

import json

import pytest

from pdsup.journal import requests
from pdsup.journal.entry import as_json, parse
from pdsup.journal.requests import Caller

ANN = Caller("ann", "pdsup stop", 123, "node0")


@pytest.mark.parametrize(
    ("caller", "words"),
    [
        (ANN, "by ann with pdsup stop (pid 123, node0)"),
        (Caller("ann", "", 123, "node0"), "by ann (pid 123, node0)"),
        (Caller("", "curl", None, "node0"), "with curl (node0)"),
        (Caller("", "", None, "node0"), "by an unknown process (node0)"),
    ],
)
def test_a_caller_is_named_as_far_as_it_is_known(caller, words):
    assert str(caller) == words


def test_a_request_is_a_reason_and_a_signal_too():
    assert requests.text("stop", ANN) == f"stop requested {ANN}"
    assert requests.text("signal", ANN, "SIGKILL") == f"SIGKILL sent {ANN}"


def test_a_request_is_a_line_of_the_journal_that_is_no_change_of_a_state():
    happening = requests.event("signal", ANN, 2.5, unit="a", run=3, signal="SIGKILL")
    line = as_json(happening, "node0", 7.0)
    assert line["event"] == {
        "type": "Requested", "verb": "signal", "user": "ann", "tool": "pdsup stop",
        "pid": 123, "signal": "SIGKILL",
    }  # fmt: skip
    assert (line["unit"], line["run"], line["monotonic"]) == ("a", 3, 2.5)
    assert "signal" not in as_json(requests.event("stop", ANN, 2.5), "node0", 7.0)["event"]
    entry = parse(json.dumps(line))
    assert (entry.event, entry.to, entry.reason) == ("Requested", None, f"SIGKILL sent {ANN}")
