"""Directories of a running agent are removed, replaced, full or read-only: the node goes on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from pdsup.agent import directories

OWN = ("", "run", "node0", "node0/control.sock", "node0/lock", "node0/ledger", "node0/plans")
SHARED = (
    "", "events", "logs", "nginx", "agents", "agents/node0.json", "plan.yaml", "token",
    "view-token",
)  # fmt: skip
DIRECTORIES = {"", "node0", "node0/plans", "events", "logs", "nginx", "agents"}
HOWS = ("gone", "a directory", "a file", "a named pipe")


def may_be(name: str, how: str) -> bool:
    """Whether something may stand in the place of a thing that is surely not that thing."""
    if how == "gone" or not name:
        return how == "gone"
    return how != ("a directory" if name in DIRECTORIES else "a file")


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(directories, "SETTLE_S", 0.0)
    monkeypatch.setattr(directories, "RETRY_S", 0.05)
    monkeypatch.setattr(directories, "LOOK_S", 1000.0)  # only events tell


class Tree:
    """The directories of one agent."""

    def __init__(self, agents) -> None:
        self.agents = agents
        (found,) = agents.runtime.glob("pdsup/*")
        self.places = [(found, name) for name in OWN] + [(agents.run_dir, name) for name in SHARED]
        self.token = (agents.run_dir / "token").read_text()

    def is_whole(self) -> bool:
        for base, name in self.places:
            try:
                mode = (base / name).lstat().st_mode
            except OSError:
                return False
            right = {"run": stat.S_ISLNK, "node0/control.sock": stat.S_ISSOCK}.get(
                name, stat.S_ISDIR if name in DIRECTORIES else stat.S_ISREG
            )
            if not right(mode):
                return False
        plans = list(self.places[0][0].glob("node0/plans/*.yaml"))
        right = [plan.is_file() for plan in plans] == [True]
        return right and (self.agents.run_dir / "token").read_text() == self.token

    def lose(self, path: Path, how: str) -> None:
        """Again and again: what is there is made again as soon as it is gone."""
        for _ in range(1000):
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
                self.replace(path, how)
                return
        raise AssertionError(f"{path} can't be removed")

    def replace(self, path: Path, how: str) -> None:
        match how:
            case "a directory":
                path.mkdir()
            case "a file":
                path.write_text("x" * 5)
            case "a named pipe":
                os.mkfifo(path)


def obeys(agents, unit) -> None:
    """A unit is stopped and started by commands."""
    for verb, state in (("stop", "STOPPED"), ("start", "RUNNING")):
        agents.tell("node0", "/v1/units", {"command": verb, "units": [unit]})
        agents.reaches(state, unit)


def test_whatever_is_removed_or_replaced_is_made_again_and_the_node_goes_on(agents, wait_for):
    agents.start(agents.plan(agents.unit("a"), agents.unit("b")))
    pid = agents.reaches("RUNNING", "a")["pid"]
    agents.reaches("RUNNING", "b")
    tree = Tree(agents)
    agent = agents.agent()
    for how in HOWS:
        for base, name in tree.places:
            if may_be(name, how):
                tree.lose(base / name, how)
                wait_for(tree.is_whole, f"{base / name}, {how}")
        wait_for(lambda: agents.agent() == agent, "the agent")
        obeys(agents, "b")
        assert agents.look("a")["pid"] == pid
        assert agents.look("a")["run"] == 1
    with pytest.raises(BlockingIOError), (tree.places[0][0] / "node0/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []
    assert agents.socket() is None


@pytest.mark.parametrize("how", ["a directory", "a named pipe"])
def test_a_journal_or_log_that_is_none_holds_up_nothing(agents, wait_for, how):
    agents.start(agents.plan(agents.unit("a"), agents.unit("b")))
    pid = agents.reaches("RUNNING", "a")["pid"]
    agents.reaches("RUNNING", "b")
    tree = Tree(agents)
    for path in ("events/node0.jsonl", "logs/node0_b.out"):
        tree.lose(agents.run_dir / path, how)
    obeys(agents, "b")
    before = agents.look("b")
    os.kill(before["pid"], signal.SIGKILL)  # its last words are looked for
    wait_for(lambda: agents.look("b")["run"] == before["run"] + 1, "the next run")
    agents.reaches("RUNNING", "b")
    assert "cannot write its log" in agents.look("b")["reason"]
    assert agents.look("a")["pid"] == pid
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


# -- small file systems ---------------------------------------------------------------------------

# An agent in a mount namespace, whose run directory is a small file system of its own.
MOUNTED = """
import os, sys
space, run_dir = sys.argv[1:3]
words = ["sh", "-c", 'mount -t tmpfs -o size=1m,mode=755 tmpfs "$0" && exec "$@"', run_dir]
words += [sys.executable, "-m", "pdsup", "agent", *sys.argv[3:]]
os.execvp("unshare", ["unshare", *space.split(","), *words])
"""
SPACE = "--mount" if os.geteuid() == 0 else "--user,--map-root-user,--mount"


class Disk:
    """The file system of a run directory, seen from outside its namespace."""

    def __init__(self, agents) -> None:
        self.pid = agents.processes["node0"].pid
        self.path = Path(f"/proc/{self.pid}/root{agents.run_dir}")

    def fill(self) -> None:
        file = os.open(self.path / "fill", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match="No space left"):
            while True:
                os.write(file, b"x" * 4096)
        os.close(file)

    def forbid(self) -> None:
        """Makes it read-only for whatever is not open already."""
        self._within('mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"')

    def allow(self) -> None:
        self._within('umount "$0"')

    def vanish(self) -> None:
        """Unmounts it though files are open."""
        self._within('umount -l "$0"')

    def _within(self, script: str) -> None:
        where = str(self.path).removeprefix(f"/proc/{self.pid}/root")
        enter = ["nsenter", "-t", str(self.pid), "--mount"]
        enter += [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        subprocess.run([*enter, "sh", "-c", script, where], check=True)


def listed(agents) -> list[str]:
    """The routers in the configuration that nginx runs."""
    (conf,) = agents.runtime.glob("pdsup/*/node0/nginx/nginx.conf")
    return sorted(set(re.findall(r"router-[0-9]", conf.read_text())))


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_nothing_depends_on_room_in_the_run_directory(agents, wait_for, how):
    agents.run_dir.mkdir()
    plan = agents.plan(*agents.front(), agents.unit("a"))
    program = ("-c", MOUNTED, SPACE, str(agents.run_dir))
    agents.start(plan, program=program)
    pid = agents.reaches("RUNNING", "a")["pid"]
    wait_for(lambda: agents.look("nginx")["ready"])
    disk = Disk(agents)
    disk.fill() if how == "full" else disk.forbid()
    for killed in (False, True):
        if killed:
            agent = agents.agent()
            os.kill(agent, signal.SIGKILL)
            wait_for(lambda: agents.agent() not in (None, agent), "the next agent")  # noqa: B023
            wait_for(lambda: agents.look("nginx")["ready"], "nginx")
        agents.tell("node0", "/v1/units", {"command": "stop", "units": ["router-1"]})
        agents.reaches("STOPPED", "router-1")
        assert listed(agents) == ["router-0"]
        agents.tell("node0", "/v1/units", {"command": "start", "units": ["router-1"]})
        wait_for(lambda: listed(agents) == ["router-0", "router-1"], "nginx's list")
        assert agents.look("a")["pid"] == pid
    (disk.path / "fill").unlink() if how == "full" else disk.allow()
    journal = disk.path / "events" / "node0.jsonl"
    wait_for(lambda: "Reloaded" in journal.read_text().splitlines()[-1], "the journal")
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []


def test_a_run_directory_that_is_unmounted_is_made_again_below(agents, wait_for):
    agents.run_dir.mkdir()
    plan = agents.plan(agents.unit("a"))
    agents.start(plan, program=("-c", MOUNTED, SPACE, str(agents.run_dir)))
    pid = agents.reaches("RUNNING", "a")["pid"]
    disk = Disk(agents)
    token = (disk.path / "token").read_text()
    disk.vanish()
    wait_for(lambda: (disk.path / "view-token").is_file(), "the files")
    assert (disk.path / "token").read_text() == token
    assert agents.look("a")["pid"] == pid
    agents.signal(signal.SIGTERM)
    assert agents.ended() == {"node0": 0}
    assert agents.processes_left() == []
