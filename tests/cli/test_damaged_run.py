"""What lies in the place of a file of a run, or was made of it: every command says so, at once."""

import json
import os
import threading

import pytest

from pdsup.cli import main
from tests.cli.test_damaged_files import LINE, PLAN, RECORD, as_text

ORIGIN = {"file": "recipe.yaml", "variant": None, "overrides": [], "engine": None}
PLACE = {"directory": "/nowhere", "host": "other", "boot": "b", "job": ""}
FILES = {
    "plan.yaml": PLAN, "origin.json": json.dumps(ORIGIN), "token": "t" * 64, "view-token": "v" * 64,
    "events/n0.jsonl": as_text(LINE), "agents/n0.json": json.dumps(PLACE),
    "logs/n0_a.out": "---- 2026-11-28T05:00:00Z a: run 1 ----\nhello\n",
    "run.json": as_text(RECORD), "evidence/a-1/why.txt": "why\n", "nginx/nginx.conf": "daemon;\n",
    "results/points.json": "{}",
}  # fmt: skip
READERS = (
    ["status"], ["status", "--json"], ["explain", "a"], ["explain", "a", "--json"], ["events"],
    ["logs", "a"], ["logs", "a", "--json"], ["logs", "agent@n0"], ["report", "--json"], ["results"],
    ["list"], ["url"], ["wait", "--timeout", "0"], ["shutdown", "--yes"], ["reload", "--dry-run"],
    ["scrape-config"], ["web"], ["restart", "a"], ["evidence", "a"], ["signal", "USR1", "a"],
    ["bundle", "-o", "bundle.tar.gz"], ["report", "-o", "page.html"],
)  # fmt: skip


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def flipped(path):
    path.write_bytes(
        bytes(byte ^ (1 << (index % 7)) for index, byte in enumerate(path.read_bytes()))
    )


def deep(path):
    path.write_text("[" * 200_000)


def replaced(path, how):
    path.unlink()
    how(path)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "flipped": flipped,
    "deep": deep,
    "a directory": lambda path: replaced(path, lambda path: path.mkdir()),
    "a named pipe": lambda path: replaced(path, os.mkfifo),
    "a link to what never ends": lambda path: replaced(path, lambda p: p.symlink_to("/dev/zero")),
    "a link to nothing": lambda path: replaced(path, lambda path: path.symlink_to("nothing")),
    "private": lambda path: path.chmod(0),
}


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """A run that has ended, on a machine without runs."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "run"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_command_says_what_is_wrong_or_does_without(run_dir, capsys, name, damage):
    """No traceback, no wait for another process, no control character, and one sentence each."""
    DAMAGES[damage](run_dir / name)
    for words in READERS:
        verb, *more = words
        named = [str(run_dir)] if verb in ("report", "bundle") else ["--run-dir", str(run_dir)]
        status = main.main([verb, *(named if verb != "list" else []), *more])
        shown = capsys.readouterr()
        assert status in (0, 1, 2, 3, 4, 124), (words, shown.err)
        assert "Traceback" not in shown.out + shown.err
        assert len(shown.err.splitlines()) < 20, (words, shown.err)
        assert len(shown.err) < 5000, (words, shown.err[:500])
    assert threading.active_count() < 20


@pytest.mark.parametrize("name", ["token", "origin.json", "run.json", "agents/n0.json"])
def test_of_a_file_that_is_far_too_long_little_is_read(run_dir, capsys, name):
    os.truncate(run_dir / name, 1 << 40)  # takes no room, and would not fit into any memory
    packed = [["bundle"]] if name == "token" else []  # of the others much is packed
    for words in (["status"], ["explain", "a"], ["report"], ["shutdown", "--yes"], *packed):
        named = [str(run_dir)] if words[0] in ("report", "bundle") else ["--run-dir", str(run_dir)]
        more = ["-o", "out"] if words[0] in ("report", "bundle") else words[1:]
        assert main.main([words[0], *named, *more]) in (0, 1, 2, 3, 4), words
        assert "Traceback" not in capsys.readouterr().err
