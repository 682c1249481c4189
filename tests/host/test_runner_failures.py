"""Ends for every reason, provoked for real, and what the unit's state says of them."""

import socket
import sys

import pytest

from pdsup.plan.engines.sglang import WORKER_NOISE
from pdsup.plan.model import Check, Probe, Probes, Progress, Restart

PORT = 8000
MOCK = (sys.executable, "-m", "pdsup.mock.worker", "--model-path", "/m", "--port", str(PORT))
ONCE = Restart(first_delay_s=60.0, delay_s=60.0, jitter=0.0, max_failures=2)
ASK = Probe(checks=(Check(port="http", path="/health"),), period_s=0.02, timeout_s=5.0)


@pytest.fixture
def fail(make, address):
    """Runs a command that fails, and returns the news of its end."""

    def run(*command, **knobs):
        env = {name: str(value) for name, value in knobs.items()}
        words = [word.replace("{address}", address) for word in command]
        unit = make(
            *words, env=env, address=address, ports={"http": PORT}, restart=ONCE,
            probes=Probes(startup=ASK, progress=Progress(noise=WORKER_NOISE)),
        )  # fmt: skip
        unit.start()
        return unit.ever(lambda news: news.state in ("BACKOFF", "FATAL"))

    return run


@pytest.mark.parametrize(
    ("fault", "name", "state"),
    [
        ("cuda-oom", "CUDA out of memory", "BACKOFF"),
        ("nccl", "NCCL error", "BACKOFF"),
        ("no-model", "model not found", "FATAL"),
        ("no-module", "Python module not found", "FATAL"),
    ],
)
def test_an_engine_that_can_not_load_says_why(fail, fault, name, state):
    news = fail(*MOCK, "--host", "{address}", MOCK_LOAD_FAULT=fault, MOCK_LOAD_SECONDS=0)
    assert news.state == state
    assert news.reason.startswith(f"exited with status 1: {name}: ")
    assert ("not restarted: it would fail the same way again" in news.reason) == (state == "FATAL")


def test_a_wrong_flag_is_given_up_at_once(fail):
    news = fail(*MOCK, "--host", "{address}", "--tp-size", "many")
    assert news.state == "FATAL"
    assert news.reason.startswith("exited with status 2: wrong arguments: ")
    assert "--tp-size" in news.reason


def test_a_program_that_is_not_installed_is_given_up_at_once(fail):
    news = fail(sys.executable, "-m", "no_such_module_here")
    assert news.state == "FATAL"
    assert "Python module not found" in news.reason


def test_a_port_that_was_taken_meanwhile_is_named_and_tried_again(fail, address):
    """The engine opens its port after the load: by then it may be another's."""
    script = (
        "import socket; first = socket.create_server(({0!r}, 8000));"
        "second = socket.create_server(({0!r}, 8000))"
    )
    news = fail(sys.executable, "-c", script.format(address))
    assert news.state == "BACKOFF"
    assert news.reason.startswith("exited with status 1: address in use: OSError: [Errno 98]")
    with socket.create_server((address, PORT)):
        pass


def test_an_end_of_unknown_cause_shows_its_last_words(fail):
    news = fail("/bin/sh", "-c", "echo one; echo two; kill -SEGV $$")
    assert news.state == "BACKOFF"
    assert news.reason == "killed by SIGSEGV; cause unknown, last output: one | two"


def test_lines_about_probes_are_no_last_words(fail):
    access = """echo 'INFO: 127.0.0.1:1 - "GET /model_info HTTP/1.1" 200 OK'"""
    news = fail("/bin/sh", "-c", f"echo one; {access}; echo two; {access}; kill -SEGV $$")
    assert news.reason == "killed by SIGSEGV; cause unknown, last output: one | two"


def test_a_command_that_worked_once_is_not_given_up_for_its_configuration(make, tmp_path):
    """A module on a shared file system may be away for a moment."""
    program = tmp_path / "program.py"
    program.write_text("import time\ntime.sleep(1000)\n")
    again = Restart(first_delay_s=0.0, delay_s=60.0, jitter=0.0, max_failures=6)
    unit = make(sys.executable, str(program), restart=again).start()
    unit.until("RUNNING")
    program.write_text("import no_such_module_here\n")
    unit.supervising.do("crowd", [unit.name])
    news = unit.until("BACKOFF", lambda news: news.run == 2)
    assert "Python module not found" in news.reason
