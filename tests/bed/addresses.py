"""Loopback addresses that nothing else on this machine has, so that tests' ports may be fixed.

Each process of the tests takes blocks of 250 addresses. It claims a block by binding an abstract
socket: the name is the whole machine's, and the kernel frees it with the last process that has it.
"""

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

import pytest

BLOCKS = [f"127.{second}.{third}" for second in range(16, 64) for third in range(250)]


def _claimed() -> Iterator[str]:
    """Addresses of one claimed block after another."""
    start = os.getpid() % len(BLOCKS)  # neighbours rarely look at the same ones
    claims = []
    for block in BLOCKS[start:] + BLOCKS[:start]:
        claims.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        with contextlib.suppress(OSError):
            claims[-1].bind(f"\0tests of pdsup on {block}")
            yield from (f"{block}.{host}" for host in range(1, 251))


_addresses = _claimed()


def fresh_address() -> str:
    """A loopback address that no other test on this machine uses."""
    return next(_addresses)


def fresh_addresses(count: int) -> list[str]:
    return list(itertools.islice(_addresses, count))


@pytest.fixture
def address() -> str:
    """A loopback address that no other test on this machine uses."""
    return fresh_address()


@pytest.fixture
def other_address() -> str:
    """A second one."""
    return fresh_address()
