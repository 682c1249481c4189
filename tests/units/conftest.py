"""Addresses of their own for tests that listen, so that ports may always be the same."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable

import pytest

_hosts = itertools.count(1)


@pytest.fixture
def address() -> str:
    """A loopback address that no other test of this run uses."""
    return f"127.3.{os.getpid() % 250}.{next(_hosts)}"


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that is free on every address at this moment."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("", 0))
            return probe.getsockname()[1]

    return find
