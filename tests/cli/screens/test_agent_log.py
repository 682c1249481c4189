"""What an agent's log says about its end."""

import json

import pytest

from pdsup.cli.screens.agent_log import last_words


def line(level, **fields):
    return json.dumps({"node": "node2", **fields, "level": level, "timestamp": "2026-11-28T02:38"})


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], ""),
        (["", " "], ""),
        ([line("info", unit="router-2", state="WAITING", event="unit")], ""),
        ([line("info", event="unit"), "pdsup: cannot listen on a:9440", ""],
         "cannot listen on a:9440"),
        (["Traceback (most recent call last):", "  File", "OSError: [Errno 28] No space left"],
         "OSError: [Errno 28] No space left"),
        ([line("error", event="cannot write the journal", cause="No space left on device")],
         "cannot write the journal: No space left on device"),
        ([line("critical", event="guardian has gone")], "guardian has gone"),
        (["12"], ""),
        (["[" * 100_000], "[" * 100_000),
    ],
)  # fmt: skip
def test_the_last_words_of_an_agent_are_words_and_no_line_of_json(lines, words):
    assert last_words(lines) == words
