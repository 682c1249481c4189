"""What an agent costs that has nothing to do."""

import contextlib
import time
from pathlib import Path

WATCHED_S = 4.0


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


def test_an_agent_with_100_units_and_nothing_to_do_wakes_at_most_once_a_second(agents, wait_for):
    units = [agents.unit(f"unit-{index}") for index in range(100)]
    agents.start(agents.plan(*units), program=("-m", "pdsup", "agent"))
    wait_for(lambda: all(u["state"] == "RUNNING" for u in agents.status()["node0"]["units"]))
    found = agents.status()["node0"]["agent"]
    pids = (found["pid"], found["guardian_pid"])

    def quiet() -> bool:
        """Whether what the start and our own questions cause is over: one look without a change."""
        before, until = sum(map(wakings, pids)), time.monotonic() + 0.5
        while time.monotonic() < until:
            time.sleep(0.1)
        return sum(map(wakings, pids)) - before <= 1

    wait_for(quiet)
    before, until = sum(map(wakings, pids)), time.monotonic() + WATCHED_S
    while time.monotonic() < until:
        time.sleep(0.1)
    assert sum(map(wakings, pids)) - before <= WATCHED_S
