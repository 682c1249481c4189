"""Connections to nodes that vanish."""

import socket

from pdsup.cluster.peers import watched


def test_a_connection_is_given_up_soon_after_its_other_end_fell_silent():
    with watched((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("", 0))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        silent = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
        assert idle + silent <= 3.0
