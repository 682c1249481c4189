"""Who is behind a pid."""

import os
from pathlib import Path

import pytest

from pdsup.journal import callers
from pdsup.journal.requests import Caller

UID = os.geteuid()


@pytest.fixture(autouse=True)
def fresh():
    callers._user.cache_clear()
    yield
    callers._user.cache_clear()


def test_a_process_is_named_by_its_user_and_program_unless_it_names_itself():
    found = callers.caller("node0", os.getpid(), UID)
    assert (found.pid, found.node) == (os.getpid(), "node0")
    assert found.tool.startswith(("python", "pytest", "[pytest-xdist"))
    assert callers.caller("node0", os.getpid(), None) == found
    assert callers.caller("node0", os.getpid(), UID, "pdsup stop").tool == "pdsup stop"


def test_one_that_has_ended_keeps_its_pid_and_one_without_is_unknown():
    never = int(Path("/proc/sys/kernel/pid_max").read_text())
    assert callers.caller("node0", never, None) == Caller("", "", never, "node0")
    assert callers.caller("node0", 0, None) == Caller("", "", None, "node0")


def test_a_name_that_it_chose_is_short_and_harmless():
    found = callers.caller("node0", 1, 0, "pdsup \x1b[31m" + "x" * 99)
    assert found.tool == "pdsup [31m" + "x" * 30


@pytest.mark.parametrize(
    ("words", "tool"),
    [
        (["/usr/bin/python3", "/opt/bin/pdsup", "up", "demo.yaml"], "pdsup up"),
        (["python3", "-m", "pdsup", "run"], "pdsup run"),
        (["pdsup"], ""),
        (["bash", "-c", "true"], ""),
    ],
)
def test_a_command_of_ours_is_named_with_its_verb(words, tool):
    assert callers._verb(words) == tool


@pytest.mark.parametrize(
    ("uid", "environ", "name"),
    [(0, {}, "root"), (1000, {"USER": "ann"}, "ann"), (1000, {"LOGNAME": "bob"}, "bob"),
     (1001, {"USER": "ann"}, "uid 1001")],
)  # fmt: skip
def test_a_user_is_named_as_the_environment_does(monkeypatch, uid, environ, name):
    for key in ("USER", "LOGNAME"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert callers._user(uid) == name
