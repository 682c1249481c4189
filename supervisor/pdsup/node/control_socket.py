"""Who listens on the control socket of an agent, if anybody does."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple

TIMEOUT_S = 10.0
# The kernel's struct ucred: pid, uid, gid, as ints of 4 bytes.
CREDENTIALS = 12


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
        try:
            if probe.connect_ex(str(path)) != 0:
                return None
        except OSError:  # the path is too long for a socket, so nobody listens there
            return None
        pid, uid = _peer(probe)
        return Listener(pid, _is_stopped(pid)) if _owns(uid, path) else None


def is_of_its_owner(connection: socket.socket, path: Path) -> bool:
    """Whether the listener on a socket runs as the owner of the socket's directory."""
    _, uid = _peer(connection)
    return _owns(uid, path)


def _peer(connection: socket.socket) -> tuple[int, int]:
    """The pid and the user of the process at the other end."""
    given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS)
    return int.from_bytes(given[:4], sys.byteorder), int.from_bytes(given[4:8], sys.byteorder)


def _owns(uid: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.stat(path.parent).st_uid == uid  # noqa: PTH116 (in every query)
    return False


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (one read in every query)
            return file.read().rpartition(b")")[2].split()[0] == b"T"
    except (OSError, IndexError):
        return False
