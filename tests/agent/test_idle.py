"""What an agent costs that has nothing to do."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

TICK = "import time\nwhile True: time.sleep({})"


def wakings(pid: int) -> int:
    """How often the threads of a process were woken from a sleep so far, as the kernel counts."""
    found = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            (line,) = [
                line
                for line in (task / "status").read_text().splitlines()
                if line.startswith("voluntary_ctxt_switches")
            ]
            found += int(line.split()[1])
    return found


@pytest.fixture
def metronome():
    """Starts a process that wakes once in some seconds, as late as everything else here."""
    with contextlib.ExitStack() as started:

        def start(period: float) -> int:
            words = [sys.executable, "-S", "-E", "-c", TICK.format(period)]
            process = started.enter_context(subprocess.Popen(words))
            started.callback(process.kill)
            return process.pid

        yield start


def test_an_agent_with_100_units_and_nothing_to_do_wakes_at_most_once_a_second(
    agents, wait_for, metronome
):
    units = [agents.unit(f"unit-{index}") for index in range(100)]
    agents.start(agents.plan(*units), program=("-m", "pdsup", "agent"))
    wait_for(lambda: all(u["state"] == "RUNNING" for u in agents.status()["node0"]["units"]))
    found = agents.status()["node0"]["agent"]
    pids, second, tenth = (found["pid"], found["guardian_pid"]), metronome(1.0), metronome(0.1)

    def woken() -> int:
        return sum(map(wakings, pids))

    def wait_for_ticks(pid: int, count: int) -> None:
        enough = wakings(pid) + count
        wait_for(lambda: wakings(pid) >= enough, "the next tick")

    def quiet() -> bool:
        """Whether what the start and our own questions cause is over: one look without a change."""
        before = woken()
        wait_for_ticks(tenth, 5)
        return woken() - before <= 1

    wait_for(quiet)
    wait_for_ticks(second, 1)
    before = woken()
    wait_for_ticks(second, 4)
    assert woken() - before <= 4
