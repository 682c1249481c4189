"""Several machines on this one: each node has namespaces of its own for network, host name, mounts,
processes and IPC. Needs root.

The file system is shared, as on a cluster, but /run is each node's own. All nodes are on a bridge
inside the namespace of ``head``, so this machine's own network is never touched. Nothing outlives
the process that made the bed: whatever happens to it, the kernel kills every node.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NETWORK = "10.77.0"
HEAD = "head"
FREEZER = Path("/sys/fs/cgroup/freezer")
SPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
TOOLS = ("unshare", "nsenter", "setpriv", "ip", "mount")
LIMIT_S = 60.0


def lacking() -> str | None:
    """Why no bed can be made here, or None."""
    if os.geteuid() != 0:
        return "a bed of several machines takes root (mount, network and process namespaces)"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"a bed of several machines takes {', '.join(missing)}" if missing else None


def until(true: Callable[[], bool], what: str, within: float = LIMIT_S) -> None:
    """Looks until something is true; fails, saying what was awaited, when it is not in time."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"not within {within:g} s: {what}"
        time.sleep(0.05)


class Machine:
    """One node: its namespaces, and what runs in them."""

    def __init__(self, name: str, address: str, home: Path, freezer: Path | None) -> None:
        self.name = name
        self.address = address
        self._home = home
        self._freezer = freezer
        self._outer: subprocess.Popen[str] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self.init = 0
        self.environ: dict[str, str] = {}

    def boot(self) -> None:
        """Starts the node; its network is not wired yet."""
        words = [str(HERE / "init.sh"), self.name, str(self._home), str(self._freezer or "")]
        self._outer = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *SPACES, "--fork", "--kill-child",
             "--mount-proc", "--propagation", "private", "bash", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert self._outer.stdout and self._outer.stderr
        said = self._outer.stdout.readline()
        assert said == "ready\n", self._outer.stderr.read()
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        (self.init,) = map(int, children.read_text().split())

    def halt(self) -> None:
        """Everything of it is gone at once."""
        if self._outer is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)
        self._outer.wait(LIMIT_S)
        for stream in (self._outer.stdout, self._outer.stderr):
            assert stream
            stream.close()
        self._outer = None
        while self._started:
            self._started.pop().wait(LIMIT_S)

    def run(self, *command: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Runs a command there to its end."""
        return subprocess.run(
            self._inside(command), env=self._environ(), capture_output=True, text=True,
            timeout=timeout, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, *command: str, log: Path) -> None:
        """Starts a command there that stays until the node halts."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                self._inside(command), env=self._environ(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self._started.append(process)

    def network(self, *command: str, check: bool = True) -> None:
        """Runs a tool in its network namespace only."""
        words = ["nsenter", f"--target={self.init}", "--net", *command]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0 or not check, done.stderr

    def processes(self) -> dict[int, str]:
        """Every process there but the first one: pid as this machine knows it, and command."""
        if self._outer is None:
            return {}
        space = Path(f"/proc/{self.init}/ns/pid").readlink()
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (directory / "ns/pid").readlink() == space:
                    words = (
                        (directory / "cmdline")
                        .read_bytes()
                        .replace(b"\0", b" ")
                        .decode(errors="replace")
                    )
                    found[int(directory.name)] = words.strip()
        del found[self.init]
        return {pid: words for pid, words in found.items() if words != "sleep 86400"}

    def _inside(self, command: tuple[str, ...]) -> list[str]:
        return ["nsenter", f"--target={self.init}", *SPACES, f"--wd={self._home}", *command]

    def _environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "PDSUP"))}
        own = {"XDG_RUNTIME_DIR": "/run", "TMPDIR": "/run/tmp", "HOSTNAME": self.name}
        return {**kept, **own, **self.environ}


class Bed:
    """``head`` and nodes ``node0`` to ``node{count - 1}``, up inside the ``with`` block."""

    def __init__(self, count: int, *, freezer: bool = False) -> None:
        # Short, because the path of a unix socket may have 107 bytes.
        self.home = Path(tempfile.mkdtemp(prefix="bed"))
        self.home.chmod(0o755)
        self._freezer = FREEZER / self.home.name if freezer else None
        self.nodes = {f"node{i}": self._machine(f"node{i}", 10 + i) for i in range(count)}
        self.head = self._machine(HEAD, 1)

    def _machine(self, name: str, host: int) -> Machine:
        return Machine(name, f"{NETWORK}.{host}", self.home, self._freezer)

    def __enter__(self) -> Bed:
        try:
            self._up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.nodes.values())

    def __getitem__(self, node: str) -> Machine:
        return self.nodes[node]

    def _up(self) -> None:
        every = (self.head, *self)
        names = "".join(f"{machine.address} {machine.name}\n" for machine in every)
        (self.home / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
        (self.home / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1\n")
        if self._freezer:
            self._freezer.mkdir()
        for machine in every:
            machine.boot()
        bridge = "ip link add br0 type bridge stp_state 0 forward_delay 0"
        address = f"ip addr add {self.head.address}/24 dev br0"
        self.head.network("sh", "-ec", f"{bridge}; {address}; ip link set br0 up")
        for machine in self:
            self._wire(machine)

    def _wire(self, machine: Machine) -> None:
        port = f"to-{machine.name}"
        self.head.network("ip", "link", "del", port, check=False)
        # The same hardware address each time, or others would send to the former one for a while.
        last = int(machine.address.rpartition(".")[2])
        self.head.network(
            "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0",
            "address", f"02:77:00:00:00:{last:02x}", "netns", str(machine.init),
        )  # fmt: skip
        self.head.network("ip", "link", "set", port, "master", "br0", "up")
        machine.network("ip", "addr", "add", f"{machine.address}/24", "dev", "eth0")
        machine.network("ip", "link", "set", "eth0", "up")

    def link(self, node: str, way: str) -> None:
        """Unplugs a node's cable (``down``) or plugs it in again (``up``)."""
        self.head.network("ip", "link", "set", f"to-{node}", way)

    def cut(self, one: str, other: str, *, heal: bool = False) -> None:
        """Two nodes don't reach each other, or do so again; everybody else does."""
        for here, there in ((one, other), (other, one)):
            way = "del" if heal else "add"
            self[here].network("ip", "route", way, "blackhole", f"{self[there].address}/32")

    def crash(self, node: str) -> None:
        """Power loss: the link goes first, so that no dying process can say goodbye."""
        self.link(node, "down")
        self[node].halt()

    def boot(self, node: str) -> None:
        """A node that lost power comes up again, with nothing of what ran before."""
        self[node].boot()
        self._wire(self[node])

    def close(self) -> None:
        """Ends every node, and removes the files."""
        for machine in (self.head, *self):
            machine.halt()
        if self._freezer and self._freezer.is_dir():
            for directory in sorted(self._freezer.rglob("*/"), reverse=True):
                directory.rmdir()
            self._freezer.rmdir()
        shutil.rmtree(self.home)


def search_path(environ: Mapping[str, str]) -> str:
    """A PATH on which the commands of this checkout come first."""
    return f"{ROOT / '.venv' / 'bin'}:{environ['PATH']}"
