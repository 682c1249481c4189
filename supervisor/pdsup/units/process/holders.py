"""Looks whether a node is clean for a start: a unit's ports and GPUs are free, or who has them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterable
from itertools import pairwise

from pdsup import clock
from pdsup.address import EVERYWHERE, endpoint, everywhere, is_ipv6
from pdsup.plan.model import Bind
from pdsup.units.process.gpus import BoundedCall, holders

# To look who holds a port is dear, so the answer serves for a while.
HOLDER_S = 10.0
# Monitors and the like have some memory on a GPU, and are in nobody's way.
GPU_BYTES = 512 * 1024**2
# A driver that hangs is no reason not to start: the unit finds out itself.
DRIVER_S = 2.0
# What the command of an agent holds.
AGENT = "pdsup.launch"


class CleanSlate:
    """Looks whether ports and GPUs of one unit are free, each time before it is started."""

    def __init__(
        self, address: str, bind: Bind, ports: dict[str, int], gpus: tuple[int, ...] = ()
    ) -> None:
        self._address = address
        self._bind = bind
        self._ports = ports
        self._gpus = BoundedCall(lambda: gpu_holder(gpus)) if gpus else None
        self._holder = ""
        self._held: tuple[int | None, float] = (None, 0.0)  # the port, and until when that serves

    async def look(self) -> str | None:
        """What stands in the way of a start, or None. Binds the ports: the unit must not run."""
        try:
            port = busy_port(self._address, self._bind, self._ports)
        except OSError as error:
            return cause(error)
        if port is None:
            return await self._gpus.ask(DRIVER_S) if self._gpus else None
        if self._held[0] != port or clock.monotonic() > self._held[1]:
            self._holder = await asyncio.to_thread(holder, self._address, self._bind, port)
            self._held = (port, clock.monotonic() + HOLDER_S)
        return held(port, self._holder)


def gpu_holder(gpus: tuple[int, ...]) -> str | None:
    """One sentence about the first process with much memory on one of ``gpus``, or None."""
    for one in holders(gpus):
        if one.memory > GPU_BYTES:
            has = f"{one.memory / 1024**3:.1f} GiB of GPU {one.gpu}"
            return f"{has} are held by pid {one.pid} ({_command(one.pid)}); end that first"
    return None


def _command(pid: int) -> str:
    import psutil  # as in ``holder``

    try:
        process = psutil.Process(pid)
        return _shown(" ".join(process.cmdline()) or process.name())
    except psutil.Error:
        return "can't be seen from here: another user's or another container's"


def cause(error: OSError) -> str:
    """Why the operating system refused, with the file or program it is about."""
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why


def port_holder(address: str, bind: Bind, ports: dict[str, int]) -> str | None:
    """One sentence about the first of ``ports`` that is taken, or None when none is.

    Raises OSError when the address is none of this machine's.
    """
    port = busy_port(address, bind, ports)
    return None if port is None else held(port, holder(address, bind, port))


def held(port: int, who: str) -> str:
    """The sentence."""
    return f"port {port} is held by {who}; end that first"


def busy_port(address: str, bind: Bind, ports: dict[str, int]) -> int | None:
    """The first of ``ports`` that somebody has bound. Raises OSError as ``port_holder`` does."""
    hosts = (address,) if bind == "address" else sorted({everywhere(""), everywhere(address)})
    busy = (port for port in sorted(ports.values()) if not all(_can_bind(h, port) for h in hosts))
    return next(busy, None)


def _can_bind(host: str, port: int) -> bool:
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if family == socket.AF_INET6:  # else :: is all of IPv4, too
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # As servers do: connections of an earlier run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                where = endpoint(host, port)
                raise OSError(errno.EADDRNOTAVAIL, "not an address of this node", where) from None
            # Whatever else it is, the unit may know better: it may have rights that we lack.
            return error.errno != errno.EADDRINUSE
    return True


def holder(address: str, bind: Bind, port: int) -> str:
    """Who has a port that is in the way: pid, command and user, where they can be seen.

    Looks through every process of the node, which may take a tenth of a second.
    """
    import psutil  # costs 10 ms to import; needed only when something is wrong

    found = [
        connection
        for connection in psutil.net_connections(kind="tcp")
        if connection.pid and connection.laddr and connection.laddr.port == port
        if bind == "any" or connection.laddr.ip in {address, *EVERYWHERE}
    ]
    # An outgoing connection may have been given the port; a listener is the likelier one.
    for connection in sorted(found, key=lambda one: one.status != psutil.CONN_LISTEN):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(connection.pid)
            command = " ".join(process.cmdline()) or process.name()
            who = f"pid {connection.pid} ({_shown(command)}; user {process.username()})"
            return who + _whose(parent.cmdline() for parent in process.parents())
    return "a process that can't be seen from here (another user's or another container's)"


def _whose(commands: Iterable[list[str]]) -> str:
    """Of which run a process is, when one of the commands above it is an agent's."""
    for words in commands:
        for flag, run_dir in pairwise(words):
            if flag == "--run-dir" and AGENT in words:
                return f" of the run that pdsup shutdown --run-dir {_shown(run_dir)} ends"
    return ""


def _shown(command: str) -> str:
    """The beginning of a stranger's command line, in one line and harmless to a terminal."""
    printable = "".join(char if char.isprintable() else " " for char in command)
    return " ".join(printable.split())[:120]
