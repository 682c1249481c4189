"""Checks before a start that a unit's ports and GPUs are free, and finds out who holds them."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pdsup import clock
from pdsup.address import EVERYWHERE, endpoint, everywhere, is_ipv6
from pdsup.plan.masks import BY_FORM
from pdsup.plan.model import Bind
from pdsup.printable import printable
from pdsup.threads import Turns
from pdsup.units.process.nvml import BoundedCall, holders

if TYPE_CHECKING:
    import psutil

# Finding out who holds a port is expensive, so the answer is kept for a while.
HOLDER_S = 10.0
# /proc may hang at a process that hangs in the kernel.
SEARCH_S = 5.0
# A monitor may have some memory on a GPU without being in the way.
GPU_BYTES = 512 * 1024**2
# A driver that hangs does not keep a unit from starting: the unit will notice itself.
DRIVER_S = 2.0
# A word in the command line of an agent.
AGENT = "pdsup.launch"


class CleanSlate:
    """Checks the ports and GPUs of one unit each time before it is started."""

    def __init__(
        self, address: str, bind: Bind, ports: dict[str, int], gpus: tuple[int, ...] = ()
    ) -> None:
        self._address = address
        self._bind = bind
        self._ports = ports
        self._gpus = BoundedCall(lambda: gpu_holder(gpus)) if gpus else None
        self._holder = ""
        self._search = Turns()
        self._held: tuple[int | None, float] = (None, 0.0)  # a port, and until when that is kept

    async def look(self) -> str | None:
        """Returns what stands in the way of a start, or None. It tries to bind the ports, so the
        unit must not be running.
        """
        try:
            port = busy_port(self._address, self._bind, self._ports)
        except OSError as error:
            return cause(error)
        if port is None:
            return await self._gpus.ask(DRIVER_S) if self._gpus else None
        if self._held[0] != port or clock.monotonic() > self._held[1]:
            try:
                self._holder = await self._search.run(
                    lambda: holder(self._address, self._bind, port), SEARCH_S
                )
            except TimeoutError:
                self._holder = "a process that could not be found in time"
            self._held = (port, clock.monotonic() + HOLDER_S)
        return held(port, self._holder)


def gpu_holder(gpus: tuple[int, ...]) -> str | None:
    """Describes the first process with much memory on one of ``gpus``; None if there is none."""
    for each in holders(gpus):
        if each.memory > GPU_BYTES:
            memory = f"{each.memory / 1024**3:.1f} GiB of GPU {each.gpu}"
            return f"{memory} are held by pid {each.pid} ({_command(each.pid)}); stop it first"
    return None


def _command(pid: int) -> str:
    import psutil  # as in ``holder``

    try:
        process = psutil.Process(pid)
        return _shown(_masked(process) or process.name())
    except psutil.Error:
        return "not visible from here: another user's or another container's"


def cause(error: OSError) -> str:
    """Why the operating system refused, such as ``/opt/sglang: Permission denied``."""
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why


def port_holder(address: str, bind: Bind, ports: dict[str, int]) -> str | None:
    """Describes who holds the first of ``ports`` that is in use; None if all are free.

    Raises OSError if the address is not one of this machine's.
    """
    port = busy_port(address, bind, ports)
    return None if port is None else held(port, holder(address, bind, port))


def held(port: int, who: str) -> str:
    """Words the reason for users; ``who`` is from ``holder``."""
    return f"port {port} is held by {who}; stop it first"


def busy_port(address: str, bind: Bind, ports: dict[str, int]) -> int | None:
    """Returns the first of ``ports`` that is in use. Raises OSError as ``port_holder`` does."""
    hosts = (address,) if bind == "address" else sorted({everywhere(""), everywhere(address)})
    busy = (port for port in sorted(ports.values()) if not all(_can_bind(h, port) for h in hosts))
    return next(busy, None)


def _can_bind(host: str, port: int) -> bool:
    family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if family == socket.AF_INET6:  # otherwise :: covers all of IPv4 too
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Servers do this too: connections of an earlier run in TIME_WAIT are not in their way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                where = endpoint(host, port)
                raise OSError(errno.EADDRNOTAVAIL, "not an address of this node", where) from None
            # Other errors are left to the unit, which may have rights that the agent lacks.
            return error.errno != errno.EADDRINUSE
    return True


def holder(address: str, bind: Bind, port: int) -> str:
    """Describes who holds a port, such as ``pid 4711 (nginx: master; user ann)``.

    It reads every process of the node, which may take a tenth of a second.
    """
    import psutil  # costs 10 ms to import; needed only when something is wrong

    connections = [
        connection
        for connection in psutil.net_connections(kind="tcp")
        if connection.pid and connection.laddr and connection.laddr.port == port
        if bind == "any" or connection.laddr.ip in {address, *EVERYWHERE}
    ]
    # The port may also be the local end of an outgoing connection; a listener is more likely.
    for connection in sorted(connections, key=lambda each: each.status != psutil.CONN_LISTEN):
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(connection.pid)
            command = _masked(process) or process.name()
            who = f"pid {connection.pid} ({_shown(command)}; user {process.username()})"
            return who + _whose(_above(process))
    return "a process that is not visible from here (another user's or another container's)"


def _above(process: psutil.Process) -> Iterator[tuple[list[str], str]]:
    """The commands above a process with their working directories; of pid 1, and those of other
    users, these cannot be read.
    """
    import psutil

    for one in process.parents():
        with contextlib.suppress(psutil.Error):
            yield one.cmdline(), one.cwd()


def _whose(commands: Iterable[tuple[list[str], str]]) -> str:
    """Names the run of a process, if one of the commands above it, each with its working directory,
    is an agent's.
    """
    for words, cwd in commands:
        for flag, run_dir in pairwise(words):
            if flag == "--run-dir" and AGENT in words:
                end = f"pdsup shutdown --all --run-dir {_shown(str(Path(cwd, run_dir)))}"
                return f" of another run (to stop it: {end})"
    return ""


def _masked(process: psutil.Process) -> str:
    return " ".join(BY_FORM.command(process.cmdline()))


def _shown(command: str) -> str:
    """The beginning of a command line, on one line and safe to print on a terminal."""
    return " ".join(printable(command).split())[:120]
