"""Runs all agents of a plan on this machine, each on its own loopback address."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pdsup import clock
from pdsup.cli import client
from pdsup.cli.screens import agent_log
from pdsup.errors import SupervisorError
from pdsup.node import paths, state_dir
from pdsup.plan.model import Node, Plan
from pdsup.units import takeover
from pdsup.units.logs import last
from pdsup.units.process import guardian, holders

# 127.0.BLOCK.NODE; operating systems use addresses of lower blocks (127.0.0.53, 127.0.1.1).
BLOCKS = range(10, 250)
MOST_NODES = 250
# An abstract socket name: the kernel frees it with the process, and users need no shared directory.
LOCK = "\0pdsup up"
ALONE_S = 60.0
# Longer than any agent takes: the stop deadlines of its units stay below Slurm's KillWait.
KILLED_S = 40.0
# Of an agent's log: its last line may be blank.
LINES = 5
# A socket that does not exist yet can't be waited for, only polled.
LOOK_S = 0.02


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """A machine-wide lock: two ``pdsup up`` that look for free addresses at once, also of different
    users, would find the same ones. If the lock can't be had in time, it continues without it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        until = clock.monotonic() + ALONE_S
        while clock.monotonic() < until:
            with contextlib.suppress(OSError):
                lock.bind(LOCK)
                break
            time.sleep(LOOK_S)
        yield


def loopback_nodes(draft: Plan) -> tuple[Node, ...]:
    """As many nodes as ``draft`` has, on addresses where all its ports are free.

    If there is no such block of addresses, the first one: ``refuse_busy_ports`` then says why.
    """
    count = len(draft.nodes)
    if count > MOST_NODES:
        raise SupervisorError(f"cannot bring up {count} nodes on one machine: at most {MOST_NODES}")
    blocks = [[f"127.0.{block}.{index + 1}" for index in range(count)] for block in BLOCKS]
    listeners = _listeners(draft)
    addresses = next((block for block in blocks if _all_free(block, listeners)), blocks[0])
    return tuple(Node(name=f"node{i}", address=address) for i, address in enumerate(addresses))


def refuse_busy_ports(plan: Plan) -> None:
    """Raises SupervisorError, naming the holder, if a port of the plan is in use."""
    for node, listeners in zip(plan.nodes, _listeners(plan), strict=True):
        try:
            busy = holders.port_holder(node.address, "address", listeners)
        except OSError as error:
            raise SupervisorError(
                f"cannot bring up {plan.name}: {node.name}'s address {node.address} is not on "
                f"this machine ({error.strerror}); give the recipe: it gets loopback addresses"
            ) from None
        if busy is not None:
            raise SupervisorError(
                f"cannot bring up {plan.name} on {node.name} ({node.address}): {busy}"
            )


def _listeners(plan: Plan) -> list[dict[str, int]]:
    """For each node, the ports that its agent and units listen on, by unit and purpose."""
    found = {node.name: {"agent control": plan.control_port} for node in plan.nodes}
    for unit in plan.units:
        found[unit.node].update({f"{unit.name} {what}": port for what, port in unit.ports.items()})
    return list(found.values())


def _all_free(addresses: list[str], listeners: list[dict[str, int]]) -> bool:
    return all(
        holders.busy_port(address, "address", ports) is None
        for address, ports in zip(addresses, listeners, strict=True)
    )


class Agents:
    """The agents of one plan, as child processes."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: dict[str, int] = {}
        self._run_dir = Path()

    def start(self, plan: Plan, run_dir: Path) -> None:
        """Starts the agents; returns when all answer, or when one has ended (see ``trouble``)."""
        self._run_dir = run_dir
        for node in plan.nodes:
            self._running[node.name] = self._start(node.name)
        while not self.trouble() and len(self._listening()) < len(self._running):
            time.sleep(LOOK_S)

    def _start(self, node: str) -> subprocess.Popen[bytes]:
        words = [str(self._run_dir / "plan.yaml"), "--node", node, "--run-dir", str(self._run_dir)]
        with self.log(node).open("ab") as log:
            return subprocess.Popen(
                guardian.command(words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C must reach only us; we send the agents a TERM
            )

    def _listening(self) -> set[str]:
        found = [one for one in client.clusters() if one.run_dir == str(self._run_dir)]
        return set(found[0].sockets) if found else set()

    def log(self, node: str) -> Path:
        """The log file of a node's agent."""
        return self._run_dir / "logs" / f"{node}_agent.out"

    def trouble(self) -> str | None:
        """A sentence about an agent that has ended; None if all are running."""
        self._look()
        if not self._ended:
            return None
        node, status = next(iter(self._ended.items()))
        said = agent_log.last_words(last.last_lines(str(self.log(node)), LINES))
        killed = f"was killed by {signal.Signals(status - 128).name}" if status > 128 else ""
        how = killed or f"exited with status {status}"
        return f"the agent of {node} {how}{f': {said}' if said else ''}; its log: {self.log(node)}"

    def wait(self) -> int:
        """Waits until every agent has ended; returns the highest exit status."""
        while self._running:
            self._wait_for_one(None)
        return max(self._ended.values(), default=0)

    def stop(self, say: Callable[[str], None]) -> None:
        """Sends TERM to all agents; on Ctrl-C a second one, which shortens their stop deadlines.

        An agent stops in bounded time; one that is stuck is killed.
        """
        if self._running:
            say("stopping everything")
        self._signal(signal.SIGTERM)
        until = clock.monotonic() + KILLED_S
        while self._running:
            try:
                self._wait_for_one(max(0.0, until - clock.monotonic()))
            except KeyboardInterrupt:
                self._signal(signal.SIGTERM)
            if clock.monotonic() > until:
                self._signal(signal.SIGKILL)
                self.wait()
        for node in self._ended:
            self._clean_up_after(node)

    def _clean_up_after(self, node: str) -> None:
        """Stops the units that a killed agent left behind."""
        root = state_dir.state_root(os.environ)
        directory = Path(paths.node_dir(root, str(self._run_dir), node))
        if directory.is_dir():
            takeover.clean_up(directory)
            state_dir.remove_cluster(directory.parent)

    def _signal(self, number: int) -> None:
        for process in self._running.values():
            process.send_signal(number)

    def _wait_for_one(self, timeout: float | None) -> None:
        with contextlib.ExitStack() as stack:
            pidfds = []
            for process in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    pidfds.append(os.pidfd_open(process.pid))
                    stack.callback(os.close, pidfds[-1])
            select.select(pidfds, [], [], timeout)
        self._look()

    def _look(self) -> None:
        for node, process in list(self._running.items()):
            if (status := process.poll()) is not None:
                del self._running[node]
                self._ended[node] = status if status >= 0 else 128 - status
