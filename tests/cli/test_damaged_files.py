"""Damaged files of a run, or those that somebody else wrote, break no command and no terminal."""

import json

import pytest

from pdsup.cli import main

VALUES = [
    "1e400", f"1{'0' * 400}", "1e15", "-1e12", "NaN", '"x"', "null", "true", "[1]", "{}",
    '"\\ud800"', '"\\u001b[2Jboo"', '{"type": 5}', '{"type": "NodeLost", "node": "\\u001b[31m"}',
    f"{'[' * 5000}{']' * 5000}",
]  # fmt: skip
LINE = {
    "at": "1795435200.0", "monotonic": "5.0", "node": '"n0"', "unit": '"a"', "run": "1",
    "event": '{"type": "Tick"}', "from": '"STARTING"', "to": '"RUNNING"', "reason": '"why"',
}  # fmt: skip
RECORD = {
    "command": '["bench"]', "began": "1795435200.0", "ended": "1795435260.0", "status": "0",
    "verdict": '"clean"', "incidents": "[]", "earlier": "[]",
}  # fmt: skip


PLAN = """\
plan: 1
name: small
nodes: [{name: n0, address: n0}]
units: [{name: a, kind: service, node: n0, command: [sleep, '1']}]
"""


def as_text(fields):
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}\n"


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """A run directory with a sound journal, on a machine without runs."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "state"))
    (tmp_path / "run" / "events").mkdir(parents=True)
    (tmp_path / "run" / "events" / "n0.jsonl").write_text(as_text(LINE))
    (tmp_path / "run" / "plan.yaml").write_text(PLAN)
    return tmp_path / "run"


def reads(run_dir, capsys):
    """Every command that reads an ended run shows it without control characters."""
    where = str(run_dir)
    for words in (
        ["events", "--run-dir", where], ["events", "--json", "--run-dir", where],
        ["report", where], ["report", "--json", where],
        ["status", "--json", "--run-dir", where], ["status", "--run-dir", where],
        ["explain", "a", "--json", "--run-dir", where], ["explain", "a", "--run-dir", where],
    ):  # fmt: skip
        assert main.main(words) == (3 if "status" in words else 0)
        shown = capsys.readouterr()
        assert "\x1b" not in shown.out + shown.err
        if "--json" in words:
            json.loads(shown.out)


@pytest.mark.parametrize("field", LINE)
def test_a_line_of_a_journal_may_hold_anything(run_dir, capsys, field):
    with (run_dir / "events" / "n0.jsonl").open("a") as journal:
        journal.writelines(as_text({**LINE, field: value}) for value in VALUES)
    reads(run_dir, capsys)


@pytest.mark.parametrize("field", RECORD)
def test_the_record_of_a_benchmark_may_hold_anything(run_dir, capsys, field):
    damaged = [as_text({**RECORD, field: value}) for value in VALUES]
    text = as_text({**RECORD, "earlier": f"[{', '.join(damaged)}]"})
    (run_dir / "run.json").write_text(text)
    reads(run_dir, capsys)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value[:20])
def test_the_earlier_benchmarks_may_be_anything(run_dir, capsys, value):
    (run_dir / "run.json").write_text(as_text({**RECORD, "earlier": value}))
    reads(run_dir, capsys)


@pytest.mark.parametrize("text", ["", "{", "5", "[1]", "null", '"x"', "\x00", "[" * 100_000])
def test_a_run_json_may_be_anything(run_dir, capsys, text):
    (run_dir / "run.json").write_text(text)
    reads(run_dir, capsys)


def test_a_setting_that_is_no_text_is_a_problem_like_any_other(capsys):
    assert main.main(["check", "configs/demo.yaml", "--set", "name=\udcff"]) == 1
    assert "is not allowed" in capsys.readouterr().out


@pytest.mark.parametrize("bad", ["\x1b[2J", "\x9b2J", "\u202e"])
@pytest.mark.parametrize("verb", ["check", "plan", "sbatch", "up", "status", "explain", "help", ""])
def test_no_message_quotes_control_characters(capsys, bad, verb):
    words = [verb, f"{bad}.yaml"] if verb else [bad]
    assert main.main(words) != 0
    shown = capsys.readouterr()
    assert bad not in shown.out + shown.err
