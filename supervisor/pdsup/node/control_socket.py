"""Who listens on the control socket of an agent, if anybody does."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import NamedTuple

TIMEOUT_S = 10.0


class Listener(NamedTuple):
    """The agent that listens. ``stopped``: by SIGSTOP, so that it does not answer now."""

    pid: int
    stopped: bool


def answers(path: Path) -> bool:
    """Whether an agent listens and is not stopped; a killed one leaves its socket behind."""
    found = listener(path)
    return found is not None and not found.stopped


def listener(path: Path) -> Listener | None:
    """Who listens. The kernel takes connections and requests for a stopped agent too: a query would
    wait in vain, and a command would be obeyed much later.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(TIMEOUT_S)
        if probe.connect_ex(str(path)) != 0:
            return None
        peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid = int.from_bytes(peer[:4], sys.byteorder)
    return Listener(pid, _is_stopped(pid))


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (one read in every query)
            return file.read().rpartition(b")")[2].split()[0] == b"T"
    except (OSError, IndexError):
        return False
