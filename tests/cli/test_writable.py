"""Nothing is run that others than its owner, or root, can change, unless that is accepted."""

import contextlib
import json

import pytest

from pdsup.cli import loopback
from pdsup.cli import up as up_module
from pdsup.cli.main import main
from pdsup.node.run_dir import ALLOW, refuse_writable
from pdsup.plan.model import Hook

WORLD = "every user may write to it"


@pytest.fixture
def places(tmp_path):
    """Each place that says what a run runs, in a form that only its owner can change."""
    run_dir, recipe, hook = (tmp_path / name for name in ("run", "recipe.yaml", "hook.sh"))
    run_dir.mkdir(0o755)
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    node = {"name": "node0", "address": "127.0.77.1"}
    unit = {"name": "a", "kind": "service", "node": "node0", "command": ["sleep", "100"]}
    tell = {"events": ["down"], "command": [str(hook)]}
    plan = {"plan": 1, "name": "p", "bind": "address", "nodes": [node], "units": [unit],
            "hooks": [tell]}  # fmt: skip
    recipe.write_text(json.dumps(plan))
    recipe.chmod(0o644)
    return {"run": run_dir, "recipe": recipe, "hook": hook}


WORDS = {
    "up": ("up", "{recipe}", "--run-dir", "{run}"),
    "agent": ("agent", "{recipe}", "--node", "node0", "--run-dir", "{run}"),
}


@pytest.fixture
def said(places, pdsup):
    """What a verb says, with words that begin a run."""

    def made(verb):
        done = pdsup(*(word.format(**places) for word in WORDS[verb]))
        return done.returncode, done.stderr

    return made


@pytest.mark.parametrize("verb", WORDS)
@pytest.mark.parametrize("place", ["run", "recipe", "hook"])
def test_every_place_that_says_what_a_run_runs_is_refused_if_others_can_change_it(
    places, said, verb, place
):
    path = places[place]
    path.chmod(path.stat().st_mode | 0o002)
    code, words = said(verb)
    assert code == 1
    assert f"others can choose what it runs, since {path}: {WORLD}; chmod go-w {path}" in words
    assert ALLOW in words
    assert list(places["run"].iterdir()) == []


def test_a_hook_that_is_a_program_of_the_system_or_an_argument_is_no_risk(places, tmp_path):
    data = tmp_path / "data"
    data.write_text("")
    data.chmod(0o666)
    hook = Hook(events=(), command=("/bin/sh", str(places["hook"]), str(data), "relative"))
    refuse_writable("run", places["run"], places["recipe"], [hook])


def test_who_accepts_it_is_warned_of_each_place_and_the_agents_accept_it_too(
    places, monkeypatch, capsys
):
    for path in places.values():
        path.chmod(path.stat().st_mode | 0o002)
    words = []
    monkeypatch.setattr(up_module, "refuse_busy_ports", lambda plan: None)
    monkeypatch.setattr(loopback.guardian, "command", lambda given: words.append(given) or ["true"])
    monkeypatch.setattr(loopback.Agents, "trouble", lambda self: ("node0", "ended"))
    with contextlib.suppress(Exception):
        main([word.format(**places) for word in WORDS["up"]] + [ALLOW])
    err = capsys.readouterr().err
    for path in places.values():
        assert f"warning: others can choose what runs here, since {path}: {WORLD}" in err
    assert words
    assert all(ALLOW in each for each in words)
