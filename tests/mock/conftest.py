"""Real stand-in workers on loopback addresses of their own, so that ports are always the same."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.bed.addresses import fresh_address

PORT, BOOTSTRAP, RENDEZVOUS = 30000, 30001, 29500
LIMIT = 60.0  # seconds, for anything that is going to happen
QUICK = {"MOCK_LOAD_SECONDS": "0", "MOCK_WARMUP_SECONDS": "0", "MOCK_HEALTH_SECONDS": "0"}


def until(condition, what="the condition"):
    """The first true value of ``condition``, which must come soon."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError(f"{what} did not come within {LIMIT} s")


@dataclass
class Server:
    """Something that answers HTTP at an address."""

    host: str
    port: int = PORT

    def open(self, method, path, body=None, port=None, timeout=LIMIT):
        """Sends a request and returns the connection and its response, not yet read."""
        connection = http.client.HTTPConnection(self.host, port or self.port, timeout=timeout)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def ask(self, method, path, body=None, **how):
        """Status and text."""
        connection, response = self.open(method, path, body, **how)
        with contextlib.closing(connection):
            return response.status, response.read().decode()

    def get(self, path, **how):
        return self.ask("GET", path, **how)

    def post(self, path, body, **how):
        status, text = self.ask("POST", path, body, **how)
        return status, json.loads(text)

    def status(self, path, port=None):
        """The status, or None when nothing answers."""
        try:
            return self.get(path, port=port)[0]
        except OSError:
            return None

    @contextlib.contextmanager
    def stream(self, path, body):
        """The events of a streamed answer, read as they come."""
        connection, response = self.open("POST", path, {**body, "stream": True})
        with contextlib.closing(connection):
            assert response.status == 200
            yield (line[6:].decode().strip() for line in response if line.startswith(b"data: "))


@dataclass
class Worker(Server):
    """One stand-in process."""

    process: subprocess.Popen = None
    log: Path = None
    children: list = field(default_factory=list)

    @property
    def pid(self):
        return self.process.pid

    def until_up(self):
        until(lambda: self.exited() or self.status("/health") == 200, f"{self.log}: health")
        assert self.exited() is None, self.log.read_text()
        self.children = psutil.Process(self.pid).children()
        return self

    def has_children_left(self):
        with contextlib.suppress(psutil.NoSuchProcess):
            return any(child.status() != psutil.STATUS_ZOMBIE for child in self.children)
        return False

    def exited(self):
        return self.process.poll()

    def exit_code(self):
        """Waits for the end of the process."""
        return self.process.wait(LIMIT)

    def signal(self, number):
        self.process.send_signal(number)

    def fault(self, **knobs):
        status, answer = self.post("/mock/faults", knobs)
        assert status == 200, answer
        return answer

    def end(self):
        self.process.kill()
        self.process.wait()


class Crew:
    """Starts workers and ends them all by their pids."""

    def __init__(self, directory):
        self.directory = directory
        self.started = []

    def start(self, *flags, host=None, out=None, **knobs):
        """One worker; ``knobs`` are environment variables without ``MOCK_``, or whole ones."""
        host = host or fresh_address()
        changes = {
            k if "_" in k and k.isupper() else f"MOCK_{k.upper()}": str(v) for k, v in knobs.items()
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MOCK_", "SGL"))}
        log = self.directory / f"{len(self.started)}.out"
        command = [sys.executable, "-m", "pdsup.mock.worker"]
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*command, "--model-path", "/models/tiny", "--host", host, *flags],
                env={**inherited, **QUICK, **changes},
                stdin=subprocess.DEVNULL,
                stdout=out or file,
                stderr=subprocess.STDOUT,
            )
        worker = Worker(host, process=process, log=log)
        self.started.append(worker)
        return worker

    def prefill(self, *flags, **rest):
        mode = ("--disaggregation-mode", "prefill")
        port = ("--disaggregation-bootstrap-port", str(BOOTSTRAP))
        return self.start(*mode, *port, *flags, **rest)

    def decode(self, *flags, **rest):
        return self.start("--disaggregation-mode", "decode", *flags, **rest)

    def gang(self, *knobs_of_ranks, mode="prefill"):
        """A worker of several ranks, each with its own knobs."""
        leader = fresh_address()
        common = ("--nnodes", str(len(knobs_of_ranks)), "--tp-size", str(len(knobs_of_ranks)))
        common += ("--dist-init-addr", f"{leader}:{RENDEZVOUS}")
        start = self.prefill if mode == "prefill" else self.start
        return [
            start(*common, "--node-rank", str(rank), host=None if rank else leader, **knobs)
            for rank, knobs in enumerate(knobs_of_ranks)
        ]

    def end(self):
        for worker in self.started:
            worker.end()

    def tracebacks(self):
        """The logs that show a defect; one fault prints a traceback on purpose."""
        texts = [worker.log.read_text() for worker in self.started]
        return [text for text in texts if "Traceback" in text and "CUDA out of memory" not in text]


@pytest.fixture
def crew(tmp_path):
    crew = Crew(tmp_path)
    yield crew
    crew.end()
    assert crew.tracebacks() == []


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """For workers that serve several tests, each of which leaves them as they were."""
    crew = Crew(tmp_path_factory.mktemp("shared"))
    yield crew
    crew.end()
    assert crew.tracebacks() == []


@pytest.fixture(scope="module")
def pair(shared):
    """A prefill and a decode."""
    workers = shared.prefill("--enable-metrics"), shared.decode("--enable-metrics")
    return [worker.until_up() for worker in workers]


@pytest.fixture(scope="module")
def aggregated(shared):
    """A worker that needs no other."""
    return shared.start("--served-model-name", "tiny", "--tp", "2", "--dp", "2").until_up()


@pytest.fixture(name="until")
def _until():
    return until


@pytest.fixture(name="address")
def _address():
    return fresh_address


@pytest.fixture
def listener():
    """Takes a port and never answers there."""
    with contextlib.ExitStack() as held:

        def listen(host, port):
            return held.enter_context(socket.create_server((host, port)))

        yield listen


@pytest.fixture
def router(tmp_path):
    """The real router; the test gets a function that starts it in front of two workers."""
    with contextlib.ExitStack() as started:

        def start(prefill, decode):
            host = fresh_address()
            command = [sys.executable, "-m", "sglang_router.launch_router", "--pd-disaggregation"]
            command += ["--prefill", f"http://{prefill.host}:{PORT}", str(BOOTSTRAP)]
            command += ["--decode", f"http://{decode.host}:{PORT}", "--host", host]
            command += ["--port", "30080", "--prometheus-host", host, "--prometheus-port", "29000"]
            with (tmp_path / "router.out").open("wb") as out:
                process = subprocess.Popen(command, stdout=out, stderr=out)
            started.callback(process.wait)
            started.callback(process.send_signal, signal.SIGKILL)
            return Server(host, 30080)

        yield start
