"""Who sent a request to the control socket, as the kernel knows it."""

from __future__ import annotations

import socket
import struct

from aiohttp import web

from pdsup.journal import callers
from pdsup.journal.requests import Caller

# struct ucred: pid, uid, gid.
CREDENTIALS = struct.Struct("3i")
OUR_TOOLS = "pdsup "


def caller(request: web.Request, node: str) -> Caller:
    """The caller of a request: pid and user by the socket, the command by its own word."""
    pid, uid = _credentials(request)
    tool = request.headers.get("User-Agent", "")
    return callers.caller(node, pid, uid, tool if tool.startswith(OUR_TOOLS) else "")


def _credentials(request: web.Request) -> tuple[int, int | None]:
    """The pid (0: not known) and the uid at the other end of a unix socket."""
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None or connection.family != socket.AF_UNIX:
        return 0, None
    size = CREDENTIALS.size
    pid, uid, _ = CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return max(0, pid), uid
