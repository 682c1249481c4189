"""Arguments that no plan and no directory has: every verb says so in words."""

import contextlib
import io
import os

import pytest

from pdsup.cli.main import main, parser_of
from pdsup.cli.screens.catalogue import VERBS

# Half a character (a byte that is no text), longer than any name or path, unfinished, not a name.
ODD = {
    "no text": os.fsdecode(b"\xff"), "long": "x" * 5000, "long and wide": "ü" * 5000,
    "unfinished": "[", "escape": "\\ud800", "two lines": "a\nb", "control": "\x1b[2J",
}  # fmt: skip
VALUES = {"signal": "HUP"}


def words_of(verb, value):
    """The command lines with this value for each argument in turn."""
    positional = [action for action in parser_of(verb)._actions if not action.option_strings]
    usual = [VALUES.get(action.dest, "worker") for action in positional]
    for at, action in enumerate(positional):
        if action.choices is None:
            yield [verb, *usual[:at], value, *usual[at + 1 :]]


@pytest.fixture(scope="module")
def worker(shared_agents):
    shared_agents.start(shared_agents.plan(shared_agents.unit("worker")))


@pytest.fixture
def among_agents(worker, shared_agents, monkeypatch, tmp_path):
    """This process is where a user of these agents is."""
    for name, value in shared_agents.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def answered(words):
    """Whether a command fails with words; an exception would be a traceback."""
    said, told = (io.TextIOWrapper(io.BytesIO(), errors="backslashreplace") for _ in range(2))
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
        status = main(words)
    told.flush()
    return status in (1, 2, 4) and b"pdsup: " in told.buffer.getvalue()


@pytest.mark.usefixtures("among_agents")
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "agent"])  # it takes our place
def test_an_odd_argument_gets_an_answer_in_words(verb, value):
    assert all(answered(words) for words in words_of(verb, value))


@pytest.mark.usefixtures("among_agents")
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("verb", ["events", "explain", "logs", "status", "stop"])
def test_an_odd_run_directory_gets_an_answer_in_words(verb, value):
    assert answered([verb, "worker", "--run-dir", value])
