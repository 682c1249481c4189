"""Agents as real processes, on loopback addresses of their own."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pdsup import launch
from pdsup.cli import client
from pdsup.errors import NothingThere
from tests.bed import forks
from tests.bed.addresses import fresh_address
from tests.bed.hosts import assigned

LIMIT_S = 60.0
REQUESTED = "Requested"
NGINX = os.environ.get("PDSUP_TEST_NGINX") or shutil.which("nginx") or "/usr/sbin/nginx"
# Listens on ADDRESS PORT after DELAY seconds, for ever.
LISTENER = """
import socket, sys, time
time.sleep(float(sys.argv[3]))
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=family, backlog=64)
while True:
    server.accept()[0].close()
"""


@pytest.fixture
def assignment(plan, digest, tmp_path):
    """The part of the plan for a node."""

    def of(node, plan=plan):
        for directory in ("events", "logs"):
            (tmp_path / directory).mkdir(exist_ok=True)
        return assigned(plan, node, tmp_path, digest)

    return of


def wait_for(condition, what="the condition"):
    """The first true value of a condition, which must come soon."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come within {LIMIT_S} s")


class Agents:
    """The agents of one small plan. ``end`` leaves no process of theirs, whatever happened."""

    def __init__(self, directory: Path) -> None:
        # A socket's path may have 107 bytes.
        self.runtime = Path(tempfile.mkdtemp(prefix="pd", dir="/tmp"))
        private = {"XDG_RUNTIME_DIR": str(self.runtime), "TMPDIR": str(self.runtime)}
        self.environ = {**os.environ, **private}
        for name in [
            name for name in self.environ if name.startswith(("SLURM", "PDSUP", "COLUMNS", "LINES"))
        ]:
            del self.environ[name]
        self.directory = directory
        self.run_dir = directory / "run"
        self.processes: dict[str, Program | Forked] = {}
        self.addresses: dict[str, str] = {}

    # -- plans --------------------------------------------------------------------------------

    def plan(self, *units, nodes=1, name="plan.yaml") -> Path:
        """Writes a plan of units that are given as tables."""
        for index in range(nodes):
            if f"node{index}" not in self.addresses:
                self.addresses[f"node{index}"] = fresh_address()
        path = self.directory / name
        known = [{"name": n, "address": self.addresses[n]} for n in list(self.addresses)[:nodes]]
        whole = {"plan": 1, "name": "small", "bind": "address", "nodes": known, "units": units}
        path.write_text(json.dumps(whole))
        return path

    def unit(self, name, *command, node="node0", needs=(), **settings) -> dict:
        """A unit that sleeps, unless it is given a command; back at once after a failure."""
        return {
            "name": name,
            "kind": "service",
            "node": node,
            "command": command or ("sleep", "1000"),
            "needs": {"units": [{"unit": other} for other in needs]},
            "restart": {"first_delay_s": 0.05, "delay_s": 0.05, "factor": 1.0},
            **settings,
        }

    def listener(self, name, node="node0", delay=0.0, port=30000, **settings) -> dict:
        """A unit that is RUNNING once its port is open, which takes ``delay`` seconds."""
        self.plan(nodes=int(node[4:]) + 1, name="unused.yaml")
        command = (sys.executable, "-S", "-E", "-c", LISTENER, self.addresses[node], port, delay)
        checks = [{"port": "http"}]
        startup = {"checks": checks, "period_s": 0.02, "timeout_s": 1.0, "deadline_s": LIMIT_S}
        return self.unit(
            name, *map(str, command), node=node, ports={"http": port},
            probes={"startup": startup}, **settings,
        )  # fmt: skip

    def front(self, routers=2, **settings) -> list[dict]:
        """An nginx and the listeners behind it; it starts when all of them are RUNNING."""
        names = [f"router-{index}" for index in range(routers)]
        behind = [
            self.listener(name, port=30080 + index, kind="router")
            for index, name in enumerate(names)
        ]
        conf = ("-p", "{state_dir}/", "-c", "{state_dir}/nginx/nginx.conf", "-g", "daemon off;")
        ports = {"http": 8000, "status": 8001}
        healthy = {"checks": [{"port": "status", "path": "/healthz"}], "period_s": 0.05,
                   "timeout_s": 5.0, "deadline_s": LIMIT_S}  # fmt: skip
        nginx = self.unit(
            "nginx", NGINX, *conf, kind="nginx", needs=names, ports=ports,
            nginx={"upstreams": names}, probes={"startup": healthy}, **settings,
        )  # fmt: skip
        return [*behind, nginx]

    # -- agents -------------------------------------------------------------------------------

    def start(self, plan: Path, *nodes: str, program=None, wait=True) -> None:
        """Starts the agents of nodes (default: one), and waits until they listen.

        They are forks of this process, which spares the imports, or run ``program`` by Python.
        """
        for node in nodes or ("node0",):
            words = [str(plan), "--node", node, "--run-dir", str(self.run_dir)]
            errors = self.directory / f"{node}.err"
            self.processes[node] = self._started(program, words, errors)
        if wait:
            for node in nodes or ("node0",):
                wait_for(lambda: self.listens(node), f"the agent of {node}")  # noqa: B023

    def _started(self, program, words, errors):
        if program is None:
            return Forked(words, errors, self.environ)
        if callable(program):
            return Spawned(forks.start(program, words, self.environ, out=errors, err=errors))
        return Program(program, words, errors, self.environ)

    def socket(self, node="node0") -> Path | None:
        return next(self.runtime.glob(f"pdsup/*/{node}/control.sock"), None)

    def listens(self, node) -> bool:
        assert self.processes[node].poll() is None, self.errors(node)
        path = self.socket(node)
        with contextlib.suppress(NothingThere):
            return path is not None and bool(client.ask(path, "/v1/status"))
        return False

    def errors(self, node="node0") -> str:
        """What the agent wrote to stderr."""
        path = self.directory / f"{node}.err"
        return path.read_text() if path.is_file() else ""

    def tell(self, node, command, value):
        return client.tell(self.socket(node), command, value).value

    def status(self, node="node0", query="") -> dict:
        """The status JSON of an agent, by node."""
        found = client.ask(self.socket(node), f"/v1/status{query}").value
        return {one["node"]: one for one in found["nodes"]}

    def agent(self, node="node0") -> int | None:
        """The pid of a node's agent; None while none answers, because one follows another."""
        path = self.socket(node)
        with contextlib.suppress(NothingThere):
            if path is not None:
                nodes = client.ask(path, "/v1/status").value["nodes"]
                return next(one["agent"]["pid"] for one in nodes if one["node"] == node)
        return None

    def look(self, unit, node="node0") -> dict:
        """What an agent says of one of its units."""
        return next(u for u in self.status(node)[node]["units"] if u["name"] == unit)

    def reaches(self, state, unit, node="node0") -> dict:
        """What an agent says of a unit as soon as that is in a state."""

        def there():
            found = self.look(unit, node)
            return found if found["state"] == state else None

        return wait_for(there, f"{unit} {state}")

    def journal(self, *nodes) -> list[dict]:
        """The lines of nodes about what happened in the order of their (one) clock, up to what
        agents show.
        """
        names = nodes or ("node0",)
        for node in names:
            wait_for(lambda: self._has_written(node), f"the journal of {node}")  # noqa: B023
        lines = [line for node in names for line in self._lines(node)]
        happened = [line for line in lines if line["event"]["type"] != REQUESTED]
        return sorted(happened, key=lambda line: line["monotonic"])

    def requests(self, node: str = "node0") -> list[dict]:
        """The lines of a node about what somebody asked it for."""
        return [line for line in self._lines(node) if line["event"]["type"] == REQUESTED]

    def _lines(self, node: str) -> list[dict]:
        path = self.run_dir / "events" / f"{node}.jsonl"
        text = path.read_text() if path.is_file() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def _has_written(self, node: str) -> bool:
        """Whether the journal has the states that an agent shows: it writes in a thread."""
        if self.agent(node) is None:
            return True
        last = {line["unit"]: line for line in self._lines(node) if "to" in line}
        return all(
            unit["state"] == "STOPPED"
            if (line := last.get(unit["name"])) is None
            else (line["to"], line["run"] or unit["run"]) == (unit["state"], unit["run"])
            for unit in self.status(node)[node]["units"]
        )

    def when(self, state, unit, node="node0") -> float:
        """When a unit first came to a state; monotonic seconds."""
        lines = self.journal(node)
        return next(x["monotonic"] for x in lines if (x["unit"], x.get("to")) == (unit, state))

    def signal(self, number, *nodes) -> None:
        for node in nodes or ("node0",):
            os.kill(self.processes[node].pid, number)

    def ended(self, *nodes) -> dict[str, int]:
        """The exit statuses of agents that are about to end."""
        return {n: self.processes[n].wait(LIMIT_S) for n in nodes or ("node0",)}

    def processes_left(self) -> list[int]:
        """Every living process of these agents and their units, wherever it went; nginx writes over
        its environment, but not to anywhere else."""
        mark = f"XDG_RUNTIME_DIR={self.runtime}\0".encode()
        ours = f"{self.directory}/"
        found = [one.pid for one in self.processes.values() if one.poll() is None]
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                written = str((entry / "fd" / "1").readlink())
                if written.startswith(ours) or mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def end(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while (left := self.processes_left()) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        for process in self.processes.values():
            process.wait(LIMIT_S)
        shutil.rmtree(self.runtime)
        assert not left


class Program:
    """An agent as a Python program of its own."""

    def __init__(self, program, words, errors, environ):
        with errors.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *program, *words],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environ,
                start_new_session=True,
            )  # fmt: skip
        self.pid, self.poll, self.wait = self.process.pid, self.process.poll, self.process.wait


class Spawned:
    """An agent or guardian as a fork."""

    def __init__(self, process):
        self.process, self.pid = process, process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, within: float) -> int:
        self.process.join(within)
        if self.process.exitcode is None:
            raise TimeoutError(f"agent {self.pid} did not end within {within} s")
        return self.process.exitcode


class Forked(Spawned):
    """An agent as a fork of this process."""

    def __init__(self, words, errors, environ):
        context = multiprocessing.get_context("fork")
        process = context.Process(target=self.become, args=(words, errors, environ))
        process.start()
        super().__init__(process)

    def become(self, words, errors, environ):
        os.setsid()
        with errors.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        os.environ.clear()
        os.environ.update(environ)
        sys.exit(launch.main(words))


@pytest.fixture(name="wait_for")
def _wait_for():
    return wait_for


@contextlib.contextmanager
def fresh_agents(directory):
    made = Agents(directory)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def agents(tmp_path):
    with fresh_agents(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared_agents(tmp_path_factory):
    """For tests that only look."""
    with fresh_agents(tmp_path_factory.mktemp("shared")) as made:
        yield made
