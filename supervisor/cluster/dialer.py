"""Sockets that notice within seconds when the node at the other end is gone without a word."""

from __future__ import annotations

import socket

from aiohttp import AddrInfoType

# The kernel asks an idle connection's other end this often; it costs no time of ours.
IDLE_S = 1
# How long an answer to that, or to what was sent, may take. Without it a node that lost power, or
# its network, would be noticed only when a long poll is overdue, and a request after 15 minutes.
SILENT_MS = 1500


def watched(address: AddrInfoType) -> socket.socket:
    """A socket for a TCP connection, not yet connected; for ``aiohttp.TCPConnector``."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, IDLE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MS)
    return made
