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

from pdsup import clock, files
from pdsup.cli.runs import living
from pdsup.cli.screens import agent_log
from pdsup.cli.screens.waiting import Silence
from pdsup.cli.terminal import signals
from pdsup.cli.terminal.say import say
from pdsup.errors import SupervisorError
from pdsup.node import paths, state_dir
from pdsup.node.run_dir import ALLOW
from pdsup.plan.masks import MODES
from pdsup.plan.model import Node, Plan
from pdsup.units import ledger, takeover
from pdsup.units.logs import last
from pdsup.units.process import guardian, holders, proc

# 127.0.BLOCK.NODE; operating systems use addresses of lower blocks (127.0.0.53, 127.0.1.1).
BLOCKS = range(10, 250)
MOST_NODES = 250
# An abstract socket name: the kernel frees it with the process, and users need no shared directory.
LOCK = "\0pdsup up"
ALONE_S = 60.0
# Longer than any agent takes: the stop deadlines of its units stay below Slurm's KillWait.
KILLED_S = 40.0
# While agents stop, how often to look whether it is time to say what is waited for.
TICK_S = 1.0
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
    """The agents of one plan, as child processes.

    If one is killed together with its guardian, somebody may start another for its node by hand: it
    belongs to the cluster too, and is waited for and stopped with the others.
    """

    def __init__(self, *, allow_writable: bool = False) -> None:
        self._more = [ALLOW] if allow_writable else []
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._successors: dict[str, int] = {}  # pidfds of agents started by others
        self._ended: dict[str, int] = {}
        self._pids: dict[str, set[int]] = {}
        self._run_dir = Path()
        self._were_up = False

    def start(self, plan: Plan, run_dir: Path) -> None:
        """Starts the agents; returns when all answer, or when one has ended (see ``trouble``)."""
        self._run_dir = run_dir
        for node in plan.nodes:
            self._running[node.name] = self._start(node.name, MODES[plan.readable_by.logs])
            self._pids[node.name] = {self._running[node.name].pid}
        silence = Silence(say)
        while not self.trouble() and not self._were_up:
            self._were_up = all(map(self._is_ours, self._running)) and self._all_listen()
            silence.explain(["the agents to answer: see logs/NODE_agent.out"])
            time.sleep(0 if self._were_up else LOOK_S)

    def _start(self, node: str, mode: int) -> subprocess.Popen[bytes]:
        words = [str(self._run_dir / "plan.yaml"), "--node", node, "--run-dir", str(self._run_dir)]
        words += self._more
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with os.fdopen(files.open_regular(self.log(node), flags, mode), "ab") as log:
            return subprocess.Popen(
                guardian.command(words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C must reach only us; we send the agents a TERM
            )

    def _is_ours(self, node: str) -> bool:
        """Whether the agent that has claimed a node is the one that was started here."""
        pid = state_dir.holder(self._state_dir(node))
        return pid in proc.children(self._running[node].pid)

    def _all_listen(self) -> bool:
        found = [one for one in living.clusters() if one.run_dir == str(self._run_dir)]
        return bool(found) and found[0].sockets.keys() >= self._running.keys()

    def log(self, node: str) -> Path:
        """The log file of a node's agent."""
        return self._run_dir / "logs" / f"{node}_agent.out"

    def trouble(self) -> str | None:
        """A sentence about an agent that has ended; None if all are running."""
        self._look()
        if not self._ended:
            return None
        node, status = next(iter(self._ended.items()))
        if status == 0:
            return "somebody stopped the cluster while it was coming up"
        said = agent_log.last_words(last.last_lines(str(self.log(node)), LINES))
        how = f"exited with status {status}"
        if status - 128 in signal.valid_signals():
            how = f"was killed by {signal.Signals(status - 128).name}"
        return f"the agent of {node} {how}{f': {said}' if said else ''}; its log: {self.log(node)}"

    def wait(self) -> int:
        """Waits until every agent has ended; returns the highest exit status."""
        while self._any_left():
            self._wait_for_one(None)
        return max(self._ended.values(), default=0)

    def stop(self, say: Callable[[str], None]) -> None:
        """Sends TERM to all agents; on Ctrl-C a second one, which shortens their stop deadlines.

        An agent stops in bounded time; one that is stuck is killed.
        """
        with signals.handled(lambda *_: self._signal(signal.SIGTERM)):
            if self._any_left():
                say("stopping everything")
            self._signal(signal.SIGTERM)
            until, silence = clock.monotonic() + KILLED_S, Silence(say)
            while self._any_left() and (left := until - clock.monotonic()) > 0:
                silence.explain([f"the units of {', '.join(self._running)} to stop"])
                self._wait_for_one(min(left, TICK_S))
            self._signal(signal.SIGKILL)
            while self._running:
                self._wait_for_one(None)
            for node in self._ended:
                self._clean_up_after(node)

    def _any_left(self) -> bool:
        """Whether an agent lives, also one that was started by hand in place of ours."""
        for node in self._ended.keys() - self._successors.keys() if self._were_up else ():
            living = takeover.occupant(self._state_dir(node))
            if living is not None and living.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._successors[node] = os.pidfd_open(living.pid)
                    self._pids[node].add(living.pid)
        return bool(self._running or self._successors)

    def _state_dir(self, node: str) -> Path:
        root = state_dir.state_root(os.environ)
        return Path(paths.node_dir(root, str(self._run_dir), node))

    def _clean_up_after(self, node: str) -> None:
        """Stops what an agent left behind that was killed. Those of another agent, because of which
        ours could not start, are not ours.
        """
        directory = self._state_dir(node)
        left = ledger.read(directory)
        if any(each and each[0] in self._pids[node] for each in (left.guardian, left.agent)):
            takeover.clean_up(directory)
            state_dir.remove_cluster(directory.parent)

    def _signal(self, number: int) -> None:
        for process in self._running.values():
            process.send_signal(number)
        for pidfd in self._successors.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, number)

    def _wait_for_one(self, timeout: float | None) -> None:
        with contextlib.ExitStack() as stack:
            pidfds = [*self._successors.values()]
            for process in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    pidfds.append(os.pidfd_open(process.pid))
                    stack.callback(os.close, pidfds[-1])
            ended, _, _ = select.select(pidfds, [], [], timeout)
        for node in [node for node, pidfd in self._successors.items() if pidfd in ended]:
            os.close(self._successors.pop(node))
            self._ended[node] = 0  # its own status is known only to whoever started it
        self._look()

    def _look(self) -> None:
        for node, process in list(self._running.items()):
            if (status := process.poll()) is not None:
                del self._running[node]
                self._ended[node] = status if status >= 0 else 128 - status
