"""The guardian above an agent that stands still: real processes, and an agent that only speaks its
language. What it does above a real one is in ``agent/test_takeover.py``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.processes

LIMIT = 60.0
CHECK_S = 0.2
GUARD = f"""
import sys
from pdsup.units.process import guardian
guardian.CHECK_S = {CHECK_S}
sys.exit(guardian.main(sys.argv[1:]))
"""
# Notes its pid; a first one behaves as told, a later one ends well.
AGENT = """
import os, signal, sys, time
how, file = sys.argv[1:]
say = int(os.environ["PDSUP_GUARDIAN"].split(",")[1])
assert os.environ["PDSUP_WATCHDOG"]
with open(file, "a+") as pids:
    pids.seek(0)
    first = not pids.read()
    pids.write(f"{os.getpid()}\\n")
os.write(say, b"b")
def beat(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        os.write(say, b"w")
        time.sleep(0.01)
if first:
    if how == "stops":
        beat(0.1)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif how == "beats":
        beat(1.5)
    elif how == "never beats":
        time.sleep(1.5)
    elif how == "ends slowly":
        beat(0.1)
        os.write(say, b"e")
        time.sleep(1.5)
    elif how == "waits":
        while not os.path.exists(file + ".go"):
            beat(0.01)
os.write(say, b"e")
sys.exit(7 if first else 8)
"""

# Waits for a signal that does not come, in this way.
WAITS = """
import signal
from pdsup.units.process import guardian
signal.pthread_sigmask(signal.SIG_BLOCK, guardian.WAITED)
print("waits", flush=True)
print(guardian.Guardian([])._next_signal(0.3), end="")
"""


class Guarded:
    """A guardian and the agents below it."""

    def __init__(self, how: str, file: Path) -> None:
        self.file = file
        agent = (sys.executable, "-S", "-c", AGENT, how, str(file))
        self.process = subprocess.Popen(
            (sys.executable, "-c", GUARD, *agent), stderr=subprocess.PIPE, text=True
        )

    def pids(self) -> list[int]:
        return [int(pid) for pid in self.file.read_text().split()] if self.file.exists() else []

    def ends(self) -> tuple[int, str]:
        """Its exit status, and what it said."""
        _, said = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, said


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Callable[[str], Guarded]]:
    made: list[Guarded] = []

    def begin(how: str) -> Guarded:
        made.append(Guarded(how, tmp_path / "pids"))
        return made[-1]

    yield begin
    for one in made:
        for pid in (one.process.pid, *one.pids()):
            if psutil.pid_exists(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        one.process.communicate()


def test_an_agent_that_stands_still_is_replaced(guarded):
    one = guarded("stops")
    status, said = one.ends()
    assert len(one.pids()) == 2
    assert status == 8
    assert "the agent has not moved for" in said


@pytest.mark.parametrize("how", ["beats", "never beats", "ends slowly"])
def test_an_agent_that_moves_or_sends_no_beats_or_has_ended_its_units_is_left_alone(guarded, how):
    one = guarded(how)
    assert one.ends() == (7, "")
    assert len(one.pids()) == 1


def test_a_pause_of_the_whole_machine_replaces_nobody(guarded, until):
    one = guarded("waits")
    until(one.pids)
    for _ in range(2):
        both = [one.process.pid, *one.pids()]
        for pid in both:
            os.kill(pid, signal.SIGSTOP)
        over = time.monotonic() + 6 * CHECK_S
        while time.monotonic() < over:
            time.sleep(CHECK_S)
        for pid in both:
            os.kill(pid, signal.SIGCONT)
        over = time.monotonic() + 4 * CHECK_S
        while time.monotonic() < over:
            time.sleep(CHECK_S)
    Path(f"{one.file}.go").touch()
    assert one.ends() == (7, "")
    assert len(one.pids()) == 1


def test_no_signal_is_seen_that_nobody_sent_when_a_guardian_is_stopped_while_it_waits(until):
    """A debugger stops it, or a frozen cgroup."""
    words = (sys.executable, "-c", WAITS)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        process.stdout.readline()
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")
        os.kill(process.pid, signal.SIGSTOP)
        over = time.monotonic() + 0.6
        while time.monotonic() < over:
            time.sleep(CHECK_S)
        os.kill(process.pid, signal.SIGCONT)
        assert process.communicate(timeout=LIMIT)[0] == "None"


@pytest.fixture
def until() -> Callable[[Callable[[], object]], object]:
    def wait(true: Callable[[], object]) -> object:
        end = time.monotonic() + LIMIT
        while not (value := true()):
            assert time.monotonic() < end
            time.sleep(0.01)
        return value

    return wait
