"""Text of others reaches no terminal as it is: names, reasons, logs, journals, answers, files."""

import json

import pytest

from pdsup.cli import main
from tests.cli.test_damaged_files import LINE, PLAN, RECORD

# Clears the screen, sets a title, reverses text, rings, moves the cursor in eight bits.
ODD = ("\x1b[2J", "\x1b]0;x\x07", "\u202e", "\x07", "\x9b1m", "\r")
ALL = "".join(ODD)
VERBS = (
    ["status"], ["status", "--json"], ["status", "--all"], ["explain", "a"],
    ["explain", "a", "--json"], ["events"], ["events", "--all"], ["events", "--json"],
    ["logs", "a"], ["logs", "agent@n0"], ["results"], ["wait", "--timeout", "0"], ["url"],
    ["restart", "a"], ["shutdown", "--yes"], ["scrape-config"], ["reload", "--dry-run"],
)  # fmt: skip
AS_IT_IS = {"logs"}  # a unit's own output, in which progress bars and colours are wanted


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """An ended run in which every text that a file may hold is odd."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    line = {name: json.loads(value) for name, value in LINE.items()}
    state = {"type": "Backoff", "until": 5.0, "failures": [5.0], "reason": ALL, "last_words": ALL}
    lines = [
        {**line, "to": "BACKOFF", "reason": f"why{ALL}", "state": state},
        {**line, "unit": f"b{ALL}", "reason": ALL}, {**line, "node": f"n{ALL}", "reason": ALL},
        {**line, "event": {"type": f"Odd{ALL}", "problem": ALL}, "to": None, "reason": ALL},
        {**line, "event": {"type": "NodeLost", "node": ALL, "problem": ALL}, "reason": ALL},
        {**line, "event": {"type": "Requested", "verb": ALL, "user": ALL}, "reason": ALL},
    ]  # fmt: skip
    record = {name: json.loads(value) for name, value in RECORD.items()}
    files = {
        "plan.yaml": PLAN, "events/n0.jsonl": "".join(f"{json.dumps(one)}\n" for one in lines),
        "run.json": json.dumps({**record, "command": [ALL], "verdict": ALL}),
        "logs/n0_a.out": f"---- 2026-11-28T05:00:00.000000Z a: run 1 ----\nerror {ALL}\n",
        "logs/n0_agent.out": f"{ALL}\n", "agents/n0.json": json.dumps(
            {"directory": ALL, "host": ALL, "boot": ALL, "job": ALL}),
        "origin.json": json.dumps({"file": ALL, "variant": ALL, "overrides": [ALL]}),
        f"evidence/a-1{ODD[2]}/why.txt": ALL,
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
    return tmp_path / "run"


def odd(shown):
    return sorted({char for char in shown if not (char.isprintable() or char == "\n")})


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_no_command_shows_control_characters_of_a_run(run_dir, capsys, words):
    main.main([*words, "--run-dir", str(run_dir)])
    shown = capsys.readouterr()
    assert odd(shown.err) == []
    assert words[0] in AS_IT_IS or odd(shown.out) == []


@pytest.mark.parametrize("verb", ["check", "plan", "sbatch", "doctor", "up"])
@pytest.mark.parametrize("place", ["the name of the file", "its keys and values", "a plan's"])
def test_no_command_shows_control_characters_of_a_file(tmp_path, capsys, monkeypatch, verb, place):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    recipe = {"name": ALL, ALL: {ALL: ALL}, "environment": {f"A{ALL}=": [ALL]}, "sweep": {ALL: 1},
              "model": {"path": ALL}, "frontend": {"type": ALL, "args": {ALL: ALL}}}  # fmt: skip
    plan = {"plan": 1, "name": "x", "nodes": [{"name": ALL, "address": ALL}], "secrets": [ALL],
            "units": [{"name": ALL, "kind": ALL, "node": ALL, "command": [ALL],
                       ALL: 1}]}  # fmt: skip
    name = f"r{ODD[0]}{ODD[2]}.yaml" if place == "the name of the file" else "r.yaml"
    text = plan if place == "a plan's" else recipe
    (tmp_path / name).write_text(json.dumps(text))
    assert main.main([verb, name]) != 0
    shown = capsys.readouterr()
    assert odd(shown.out + shown.err) == []
