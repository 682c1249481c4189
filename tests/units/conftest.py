"""Addresses of their own for tests that listen, so that ports may always be the same."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from tests.bed.addresses import address, other_address


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port that is free on every address at this moment."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("", 0))
            return probe.getsockname()[1]

    return find
