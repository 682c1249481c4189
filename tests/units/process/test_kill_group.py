"""Ends what forks all the time, by a cgroup."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdsup.units.process import proc
from pdsup.units.process.reap import KillGroup

LIMIT = 60.0  # seconds
NASTY = Path(__file__).parents[2] / "host" / "nasty.py"


@pytest.fixture
def breeder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that forks for ever, in a session of its own."""
    file = tmp_path / "pids"
    command = [sys.executable, "-S", str(NASTY), "breeds", str(file)]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            until = time.monotonic() + LIMIT
            while not file.exists() and time.monotonic() < until:
                time.sleep(0.01)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None


def members(session: int) -> list[int]:
    """Living processes of a session, wherever they are."""
    seen = [proc.leftover(pid) for pid in proc.everyone()]
    found = [one.pid for one in seen if one and one.session == session]
    return [pid for pid in found if not proc.is_zombie(pid)]


@pytest.mark.processes
def test_what_forks_all_the_time_is_ended_at_once_and_the_cgroup_is_gone(breeder) -> None:
    group = KillGroup()
    if not group.end([breeder.pid]):
        pytest.skip("no cgroup of version 2 in which we may make one (Linux >= 5.14)")
    assert breeder.wait(LIMIT) == -signal.SIGKILL
    until = time.monotonic() + LIMIT
    while group._groups and time.monotonic() < until:
        group.tidy()
        time.sleep(0.01)
    assert group._groups == []
    # Its orphans of before were not in it, and end by themselves.
    while members(breeder.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert members(breeder.pid) == []


def test_without_a_hierarchy_of_version_2_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "mountinfo").write_text("1 0 0:1 / / rw - ext4 /dev/vda rw\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text("1:cpu:/\n")
    assert not KillGroup(str(tmp_path)).end([os.getpid()])


def test_where_no_cgroup_may_be_made_nothing_is_ended(tmp_path: Path) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    line = f"1 0 0:1 / {tmp_path}/missing rw - cgroup2 cgroup2 rw\n"
    (tmp_path / "proc" / "self" / "mountinfo").write_text(line)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/here\n")
    assert not KillGroup(str(tmp_path)).end([os.getpid()])
