"""The command line as users run it, and real agents for it to talk to."""

import contextlib
import fcntl
import functools
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from pdsup import typed
from pdsup.answers.status import AgentStatus, NodeStatus, Status, UnitStatus
from pdsup.node import paths
from tests.bed import forks
from tests.bed.agents import _wait_for, agents, shared_agents, wait_for

ROWS = 20


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where the agents of this user would be; nothing is there yet."""
    monkeypatch.chdir(tmp_path)  # relative paths are short enough for a socket
    monkeypatch.setenv("XDG_RUNTIME_DIR", ".")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.delenv("PDSUP_RUN_DIR", raising=False)
    return tmp_path / "pdsup"


@pytest.fixture
def agent(home):
    """An agent of a run that says what it is told to, to one client after another."""
    with contextlib.ExitStack() as stack:

        def make(node="node0", run="run", says=b"", listens=True):
            run_dir = home.parent / run
            directory = home / paths.cluster_id(str(run_dir)) / node
            directory.mkdir(parents=True)
            (directory / paths.LOCK).touch()
            run_dir.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (directory.parent / paths.RUN_LINK).symlink_to(run_dir)
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            path = directory.relative_to(home.parent) / paths.SOCKET
            server.bind(str(path))
            if listens:
                server.listen()
                thread = threading.Thread(target=serve, args=(server, says))
                stack.callback(thread.join, 10)
                stack.callback(server.shutdown, socket.SHUT_RDWR)
                thread.start()
            else:
                server.close()
            return path

        yield make


def serve(server, says):
    """Answers one client after another; without an answer all of them wait."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as waiting:
        while True:
            connection, _ = server.accept()
            if says is None:
                waiting.enter_context(connection)
                continue
            with connection, contextlib.suppress(OSError):
                if connection.recv(1 << 16):
                    connection.sendall(says)


def run(agents, *words, text=True, cwd=None):
    done = forks.pdsup(words, agents.environ, cwd or agents.directory)
    if text:
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


@pytest.fixture
def pdsup(agents):
    """Runs a command to its end, among the agents of this test."""
    return functools.partial(run, agents)


@pytest.fixture
def pdsup_shared(shared_agents):
    """Runs a command to its end, among the agents that the tests of a file share."""
    return functools.partial(run, shared_agents)


@pytest.fixture
def pdsup_goes_on(agents, tmp_path):
    """Runs a command that does not end by itself; its output is in the file ``said``."""
    running = []

    def start(*words):
        path = tmp_path / f"said-{len(running)}"
        with path.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "pdsup", *words],
                env=agents.environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                cwd=agents.directory,
                # Ignored here when these tests run in the background of a shell.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
        process.said = path
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait(60)


@pytest.fixture
def earlier_run(agents):
    """Leaves behind what a run of the same plan has whose unit took so long to be ready."""

    def leave(unit, seconds):
        earlier = agents.directory / "small-1"
        (earlier / "events").mkdir(parents=True)
        (earlier / "plan.yaml").write_text("plan: 1\nname: small\n")
        with (earlier / "events" / "node0.jsonl").open("w") as journal:
            for at, before, to in ((0, "STOPPED", "STARTING"), (seconds, "STARTING", "RUNNING")):
                raw = {"at": at, "node": "node0", "unit": unit, "run": 1, "event": "Tick",
                       "from": before, "to": to}  # fmt: skip
                journal.write(json.dumps(raw) + "\n")

    return leave


class Terminal:
    """A command on a terminal of its own; ``seen`` is every byte that it wrote there."""

    def __init__(self, words, environ, columns, cwd):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pdsup", *words],
            env=environ, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, cwd=cwd, preexec_fn=self._prepare,
        )  # fmt: skip
        self.theirs = theirs
        self.seen = b""

    @staticmethod
    def _prepare():
        # Ignored here when these tests run in the background of a shell.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal's foreground, as in a shell

    def press(self, keys):
        """Types on the terminal."""
        os.write(self.ours, keys)

    def modes(self):
        """How the terminal treats what is typed."""
        return termios.tcgetattr(self.theirs)

    def shows(self, text):
        """Reads what is there; whether ``text`` has been shown."""
        while select.select([self.ours], [], [], 0)[0]:
            with contextlib.suppress(OSError):  # the other end is closed
                if chunk := os.read(self.ours, 1 << 16):
                    self.seen += chunk
                    continue
            break
        return text.encode() in self.seen

    def ended(self):
        """Whether it has ended; then all of it was read."""
        over = self.process.poll() is not None
        self.shows("")
        return over

    def end(self):
        self.process.kill()
        self.process.wait(60)
        os.close(self.theirs)
        os.close(self.ours)


@pytest.fixture
def terminal(agents):
    """Runs a command on a terminal of its own."""
    made = []

    def run(*words, columns=100, cwd=None, **environ):
        given = {**agents.environ, "TERM": "xterm-256color", **environ}
        made.append(Terminal(words, given, columns, cwd or agents.directory))
        return made[-1]

    yield run
    for one in made:
        one.end()


@pytest.fixture
def screen(terminal, wait_for):
    """The lines that a command leaves on a terminal of some width, without colours."""

    def run(*words, columns, cwd=None):
        view = terminal(*words, columns=columns, cwd=cwd, NO_COLOR="1")
        wait_for(lambda: view.ended())
        return view.seen.decode().replace("\r\n", "\n").splitlines()

    return run


@pytest.fixture
def unit():
    """A unit of a status."""

    def make(name="decode-0", state="RUNNING", **changes):
        given = {
            "name": name, "kind": "worker", "role": "decode", "node": "node2", "rank": 0,
            "gang": None, "state": state, "ready": state == "RUNNING", "pid": None, "run": 1,
            "restarts": 0, "since": None, "uptime_s": None, "ports": {}, "gpus": [], "reason": "",
            "last_exit": None, "gpu_use": None,
        }  # fmt: skip
        made, faults = typed.read(UnitStatus, {**given, **changes})
        assert not faults
        return made

    return make


@pytest.fixture
def node():
    """A node of a status, with units; ``problem``: why its agent can't be reached."""

    def make(name, units=(), *, address="10.0.0.1", problem=None):
        agent = AgentStatus(
            pid=1, guardian_pid=None, incarnation="one", version="1", age_s=0.0,
            reachable=problem is None, problem=problem,
        )  # fmt: skip
        own = tuple(one.replace(node=name) for one in units)
        return NodeStatus(node=name, address=address, agent=agent, units=own)

    return make


@pytest.fixture
def status():
    """The status of a cluster that has these nodes."""

    def make(*nodes, plan="d" * 64, url=None):
        return Status(cluster="demo", plan=plan, url=url, nodes=nodes)

    return make


@pytest.fixture
def utc(monkeypatch):
    """Local times are the same on every machine."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def golden():
    """Compares a screen with the one that was looked at; PDSUP_GOLDEN=write takes a new one."""

    def compare(name, lines):
        path = Path(__file__).with_name("golden") / f"{name}.txt"
        text = "".join(f"{line}\n" for line in lines)
        if os.environ.get("PDSUP_GOLDEN") == "write":
            path.write_text(text)
        how = "look at it, and take it with PDSUP_GOLDEN=write"
        assert (path.read_text() if path.exists() else "") == text, how

    return compare
